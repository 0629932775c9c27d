"""All drills: each module of this folder that has DRILLS, a tuple of `Drill`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.drill import Drill


def modules() -> dict[str, tuple[Drill, ...]]:
    """Return the drills by the names of their modules."""
    found: dict[str, tuple[Drill, ...]] = {}
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        if "\nDRILLS" in file.read_text():
            found[file.stem] = importlib.import_module(f"tests.faults.{file.stem}").DRILLS
    return found


def named(names: list[str]) -> dict[str, list[Drill]]:
    """Return the drills with these names, MODULE or MODULE:DRILL; all without a name. Raises KeyError for another."""
    everything = modules()
    chosen: dict[str, list[Drill]] = {}
    for name in names or everything:
        module, _, drill = name.partition(":")
        found = [each for each in everything.get(module, ()) if drill in ("", each.name)]
        if not found:
            raise KeyError(name)
        chosen.setdefault(module, []).extend(each for each in found if each not in chosen.get(module, []))
    return chosen
