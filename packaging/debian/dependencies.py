"""Releases of Debian, and the origin of each Python package there: Debian, or bundled with the Debian package.

`releases` holds a file for each release. Its origins are compared here with the requirements of pyproject.toml and of
the bundled packages.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PACKAGED_EXTRAS = ("nats", "systemd")
"""Extras of pyproject.toml that the Debian package includes."""
FOLDER = "packaging/debian/releases"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_ELSEWHERE = re.compile(r"extra\s*==|[Ww]in|[Dd]arwin")
"""Markers of requirements that do not apply to Debian."""
_BELOW = re.compile(r"""python_version\s*<\s*["']3\.(\d+)["']""")
_LEAST = re.compile(r"[>~]=\s*([0-9][0-9.]*)")
"""The least version in a requirement, and in a dependency of Debian's."""


class UnknownOrigin(Exception):
    """A requirement has no origin, or one that is too old. The message names the entry to write."""


class Release:
    """A release of Debian, by its code name: what the package is built for and depends on there.

    Fedora's has the same form; its file is in another folder.
    """

    def __init__(self, root: Path, codename: str, folder: str = FOLDER) -> None:
        self._root = root
        self.codename = codename
        self.file = f"{folder}/{codename}.toml"
        with (root / self.file).open("rb") as file:
            table = tomllib.load(file)
        self._distribution: str = table.get("distribution", "Debian")
        self.number: int = table["number"]
        self.python: str = table["python"]
        self.glibc: str = table["glibc"]
        self.units: str = table["units"]
        """The folder of systemd's units, without the leading slash."""
        self.udev: str = table["udev"]
        self.debian: dict[str, str] = table.get("debian") or table["packages"]
        """Packages of the distribution."""
        self.private: dict[str, str] = table["private"]

    @property
    def title(self) -> str:
        return f"{self._distribution} {self.number}"

    def package_version(self, version: str) -> str:
        """Return the version of the package for this release.

        It rises with the release, so that an upgrade of Debian replaces the package, and a repository can hold the
        packages of several releases. It is higher than the bare version, which packages of Debian 12 once had.
        """
        return f"{version}+deb{self.number}"

    def check(self, requirements: Iterable[str], who: str) -> None:
        """Raise UnknownOrigin if a requirement of `who` has no origin, or Debian's version is too old for it."""
        for requirement in requirements:
            _, _, marker = requirement.partition(";")
            name = normalized(requirement)
            if self._elsewhere(marker) or name in self.private:
                continue
            if name not in self.debian:
                raise UnknownOrigin(
                    f"{who} needs {requirement}: add its package of {self.title}, or a reason to bundle it, to {self.file}."
                )
            if least_version(self.debian[name]) < least_version(requirement):
                raise UnknownOrigin(
                    f"{who} needs {requirement}, and {self.file} has {self.debian[name]}: raise that version, or "
                    f"bundle the package if {self.title} has none so new."
                )

    def _elsewhere(self, marker: str) -> bool:
        """Tell whether a requirement with this marker does not apply to this release."""
        minor = int(self.python.partition(".")[2])
        return bool(_ELSEWHERE.search(marker)) or any(minor >= int(below) for below in _BELOW.findall(marker))

    def check_project(self) -> None:
        with (self._root / "pyproject.toml").open("rb") as file:
            project = tomllib.load(file)["project"]
        extras = (
            requirement
            for extra in PACKAGED_EXTRAS
            for requirement in project["optional-dependencies"][extra]
        )
        self.check([*project["dependencies"], *extras], "pyproject.toml")

    def check_installed(self, folder: Path) -> None:
        """Check the requirements of the packages bundled in `folder`."""
        for metadata in sorted(folder.glob("*.dist-info")):
            distribution = Distribution.at(metadata)
            self.check(distribution.requires or (), distribution.metadata["Name"])

    def pins(self) -> list[str]:
        """Return the bundled packages as arguments for pip. Raises UnknownOrigin if one has no fixed version."""
        lines = (self._root / "tests/requirements.txt").read_text().split()
        fixed = {normalized(line): line for line in lines}
        for name in self.private:
            if name not in fixed:
                raise UnknownOrigin(f"tests/requirements.txt has no version of {name}: add {name}==VERSION.")
        return [fixed[name] for name in self.private]


def codenames(root: Path) -> list[str]:
    """Return the code names of all releases, the oldest first."""
    names = [path.stem for path in (root / FOLDER).glob("*.toml")]
    return sorted(names, key=lambda name: Release(root, name).number)


def normalized(requirement: str) -> str:
    """Return the name in a requirement, normalized as on the package index (PEP 503)."""
    match = _NAME.match(requirement)
    if match is None:
        raise ValueError(f"{requirement!r} begins with no name")
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def least_version(requirement: str) -> list[int]:
    """Return the least version that a requirement allows; [] if it allows any."""
    match = _LEAST.search(requirement)
    return [int(part) for part in match[1].strip(".").split(".")] if match else []
