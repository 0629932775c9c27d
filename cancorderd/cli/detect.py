"""`cancorderctl detect`: the adapters of this machine as a table, as TOML, as JSON, as a drop-in file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cancorderd.cli import render
from cancorderd.config.load import ConfigurationError, load
from cancorderd.config.model import BUS_NAME
from cancorderd.control.protocol import Exit
from cancorderd.detect import drop_in, found
from cancorderd.detect.configured import bus_of, sound
from cancorderd.detect.look import look

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cancorderd.config.model import BusBase
    from cancorderd.detect.found import Row

_HINT = (
    "# For /etc/cancorder.toml (or --write NAME). A bitrate that is missing is that of [defaults], or 500000."
)


def run(options: argparse.Namespace) -> int:
    """The command; prints, and returns the exit status."""
    name = options.write
    if name is not None and not BUS_NAME.fullmatch(name):
        _complain(f"{name!r} cannot be the name of a bus and its file: use letters, digits, _ and -.")
        return Exit.USAGE
    sight = look(options.probe, software=options.all)
    buses, taken = _configuration(Path(options.config))
    adapters = [sound(one) for one in sight.found]
    configured = [bus_of(one, buses) for one in adapters]
    rows = found.listing(adapters, configured, taken, only_name=name)
    if options.json:
        print(json.dumps({"adapters": [found.as_json(row) for row in rows], "notes": sight.notes}, indent=2))
    else:
        print(report(rows), end="")
    for note in sight.notes:
        _complain(note)
    if not rows:
        print(found.NOTHING, file=sys.stderr)
        return Exit.FAILED
    return (
        Exit.DONE
        if name is None
        else _write(rows, Path(options.folder) / f"{name}.toml", Path(options.config))
    )


def report(rows: Sequence[Row]) -> str:
    """The table, what to do about adapters that are not ready, and the new buses as TOML."""
    if not rows:
        return ""
    lines = render.columns(found.HEADER, [found.cells(row) for row in rows])
    if remedies := [f"{row.found.channel}: {row.found.remedy}" for row in rows if row.found.remedy]:
        lines += ["", *remedies]
    if tables := found.toml(rows):
        lines += ["", _HINT, "", tables.rstrip()]
    return "\n".join(lines) + "\n"


def _configuration(path: Path) -> tuple[Sequence[BusBase], set[str]]:
    """The buses that there are already, and their names; none where the file is missing or wrong."""
    try:
        buses = load(path).buses
    except ConfigurationError:
        return (), set()
    return buses, {bus.name for bus in buses}


def _write(rows: Sequence[Row], path: Path, main: Path) -> int:
    names = {str(row.bus) for row in rows if row.new}
    if not names:
        _complain(f"{path} was not written: no adapter is ready that is not a bus already.")
        return Exit.FAILED
    try:
        drop_in.write(path, found.toml(rows))
        left = drop_in.check(path, main, names)
    except drop_in.NotWritten as error:
        _complain(str(error))
        return Exit.NO_PERMISSION if isinstance(error, drop_in.NotPermitted) else Exit.FAILED
    print(f"Wrote {path}: {', '.join(sorted(names))}. cancorderctl reload puts it in force.", file=sys.stderr)
    if left:
        _complain(left)
    return Exit.DONE


def _complain(text: str) -> None:
    print(f"cancorderctl: {text}", file=sys.stderr)
