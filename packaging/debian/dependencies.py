"""Where each Python package that cancorderd needs comes from: from Debian, or brought along.

`dependencies.toml` says it; here it is held against what pyproject.toml and the packages brought along
ask for, so that neither can go past the other.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HERE_EXTRAS = ("systemd",)
"""Extras of pyproject.toml that the package takes in."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_ELSEWHERE = re.compile(r"extra\s*==|[Ww]in|[Dd]arwin|python_version\s*<")
"""Markers of requirements that do not hold on Debian 12."""


class MissingSource(Exception):
    """Something is needed, and nothing says where it comes from; `str()` says what to write where."""


class Dependencies:
    """The two tables of dependencies.toml, by the packages' normalized names."""

    def __init__(self, root: Path) -> None:
        self._root = root
        with (root / "packaging/debian/dependencies.toml").open("rb") as file:
            tables = tomllib.load(file)
        self.debian: dict[str, str] = tables["debian"]
        self.private: dict[str, str] = tables["private"]

    def check(self, requirements: Iterable[str], who: str) -> None:
        """Raises MissingSource where a requirement of `who` has no source."""
        for requirement in requirements:
            _, _, marker = requirement.partition(";")
            name = normalized(requirement)
            if not _ELSEWHERE.search(marker) and name not in self.debian and name not in self.private:
                raise MissingSource(
                    f"{who} needs {requirement}: write into packaging/debian/dependencies.toml which "
                    "package of Debian 12 it is, or that it is brought along."
                )

    def check_project(self) -> None:
        with (self._root / "pyproject.toml").open("rb") as file:
            project = tomllib.load(file)["project"]
        extras = (each for name in HERE_EXTRAS for each in project["optional-dependencies"][name])
        self.check([*project["dependencies"], *extras], "pyproject.toml")

    def check_installed(self, folder: Path) -> None:
        """That what was brought along into `folder` finds what it needs."""
        for place in sorted(folder.glob("*.dist-info")):
            found = Distribution.at(place)
            self.check(found.requires or (), found.metadata["Name"])

    def pins(self) -> list[str]:
        """What is brought along, as pip takes it. Raises MissingSource where a version is not fixed."""
        lines = (self._root / "tests/requirements.txt").read_text().split()
        fixed = {normalized(line): line for line in lines}
        for name in self.private:
            if name not in fixed:
                raise MissingSource(f"tests/requirements.txt has no version of {name}: add {name}==VERSION.")
        return [fixed[name] for name in self.private]


def normalized(requirement: str) -> str:
    """The name in a requirement, as the package index compares it (PEP 503)."""
    match = _NAME.match(requirement)
    if match is None:
        raise ValueError(f"{requirement!r} begins with no name")
    return re.sub(r"[-_.]+", "-", match[0]).lower()
