"""Origin of each Python package that cancorderd needs: Debian, or bundled with the Debian package.

The origins are listed in `dependencies.toml`. They are compared here with the requirements of pyproject.toml and of
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
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_ELSEWHERE = re.compile(r"extra\s*==|[Ww]in|[Dd]arwin|python_version\s*<")
"""Markers of requirements that do not apply to Debian 12."""


class UnknownOrigin(Exception):
    """A requirement has no origin. The message names the entry to add."""


class Dependencies:
    """The two tables of dependencies.toml, by normalized package names."""

    def __init__(self, root: Path) -> None:
        self._root = root
        with (root / "packaging/debian/dependencies.toml").open("rb") as file:
            tables = tomllib.load(file)
        self.debian: dict[str, str] = tables["debian"]
        self.private: dict[str, str] = tables["private"]

    def check(self, requirements: Iterable[str], who: str) -> None:
        """Raise UnknownOrigin if a requirement of `who` has no origin."""
        for requirement in requirements:
            _, _, marker = requirement.partition(";")
            name = normalized(requirement)
            if not _ELSEWHERE.search(marker) and name not in self.debian and name not in self.private:
                raise UnknownOrigin(
                    f"{who} needs {requirement}: add its package of Debian 12, or a reason to bundle it, to "
                    "packaging/debian/dependencies.toml."
                )

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


def normalized(requirement: str) -> str:
    """Return the name in a requirement, normalized as on the package index (PEP 503)."""
    match = _NAME.match(requirement)
    if match is None:
        raise ValueError(f"{requirement!r} begins with no name")
    return re.sub(r"[-_.]+", "-", match[0]).lower()
