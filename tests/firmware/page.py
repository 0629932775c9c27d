"""The museum's page of the guide, from the declarations. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.firmware.exhibit import Exhibit, Museum

PAGE = ROOT / "contrib/guide/museum.md"

_HEAD = """\
# Strange adapters and files

Adapters whose firmware differs from the book, and files that are damaged or unusual: what comes of them, and what `cancorderctl
status` and the log say. Each line is an emulation that is shown to the program in every test run (`tests/firmware/run` in
the repository, which also writes this page). `…` stands for text that differs from case to case.
"""


def text(museums: Mapping[str, Museum]) -> str:
    """Return the page."""
    sections = [f"\n## {museum.TITLE}\n\n{table(museum.EXHIBITS)}" for museum in museums.values()]
    return "".join((_HEAD, *sections))


def table(exhibits: Iterable[Exhibit]) -> str:
    """Return a table of these exhibits."""
    lines = ["| exhibit | symptom | what came | what was said |", "|---|---|---|---|"]
    for exhibit in exhibits:
        cells = (exhibit.name, exhibit.symptom, exhibit.came, exhibit.said)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
