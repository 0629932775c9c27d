"""`cancorderctl detect`: the adapters of this machine as a table, as TOML, as JSON, as a drop-in file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cancorderd.cli.configuration_file import DEFAULT_FILE, DROP_IN_FOLDER
from cancorderd.cli.ctl import subcommand
from cancorderd.cli.ctl.terminal import print_error
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cancorderd.cli.ctl.adapter_rows import Row
    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.config.bus_settings import BusSettings


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "detect",
        "list the CAN adapters of this machine as ready [bus.NAME] tables, without the daemon",
        run,
        ("detect", "adapters, and tables for the file"),
        ("detect --probe", "also query serial ports of unknown devices"),
        ("detect --write usb", "write the new adapters to /etc/cancorder.d/usb.toml"),
    )
    parser.add_argument(
        "--probe",
        metavar="DEVICE",
        nargs="*",
        help="find out whether the serial ports on USB, and these, are slcan adapters: sends V to them; "
        "some boards restart when their port is opened",
    )
    parser.add_argument("--all", action="store_true", help="also python-can's interfaces without hardware")
    subcommand.add_json(parser, "print all details as JSON")
    parser.add_argument(
        "--write", metavar="NAME", help="write the new adapters to NAME.toml in the drop-in folder"
    )
    parser.add_argument(
        "--folder", metavar="PATH", default=DROP_IN_FOLDER, help="drop-in folder (default: %(default)s)"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=DEFAULT_FILE,
        help="configuration file with the known buses (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    from cancorderd.adapters.detection import detect
    from cancorderd.adapters.scan import ScanOptions
    from cancorderd.cli.ctl import adapter_rows
    from cancorderd.cli.ctl.configured_adapters import bus_of, usable
    from cancorderd.config.bus_settings import BUS_NAME

    name = options.write
    if name is not None and not BUS_NAME.fullmatch(name):
        print_error(f"{name!r} cannot be the name of a bus and its file: use letters, digits, _ and -.")
        return Exit.USAGE
    result = detect(ScanOptions(options.probe, options.all))
    buses, taken = _configured_buses(Path(options.config))
    adapters = [usable(adapter) for adapter in result.found]
    configured = [bus_of(adapter, buses) for adapter in adapters]
    rows = adapter_rows.rows_of(adapters, configured, taken, only_name=name)
    if options.json:
        adapters_json = [adapter_rows.as_json(row) for row in rows]
        print(json.dumps({"adapters": adapters_json, "notes": result.notes}, indent=2))
    else:
        print(adapter_rows.report(rows), end="")
    for note in result.notes:
        print_error(note)
    if not rows:
        print(adapter_rows.NOTHING, file=sys.stderr)
        return Exit.FAILED
    if name is None:
        return Exit.DONE
    return _write(rows, Path(options.folder) / f"{name}.toml", Path(options.config))


def _configured_buses(path: Path) -> tuple[Sequence[BusSettings], set[str]]:
    """Return the buses of the configuration and their names; none if the file is missing or invalid."""
    from cancorderd.config.loading import ConfigurationError, load

    try:
        buses = load(path).buses
    except ConfigurationError:
        return (), set()
    return buses, {bus.name for bus in buses}


def _write(rows: Sequence[Row], path: Path, main: Path) -> int:
    from cancorderd.cli.ctl import adapter_rows, drop_in_file

    names = {str(row.bus) for row in rows if row.new}
    if not names:
        print_error(f"{path} was not written: every adapter that is ready is a bus already.")
        return Exit.FAILED
    try:
        drop_in_file.write(path, adapter_rows.toml(rows))
        remedy = drop_in_file.check(path, main, names)
    except drop_in_file.NotWritten as error:
        print_error(str(error))
        return Exit.NO_PERMISSION if isinstance(error, drop_in_file.NotPermitted) else Exit.FAILED
    print(f"Wrote {path}: {', '.join(sorted(names))}. cancorderctl reload applies it.", file=sys.stderr)
    if remedy:
        print_error(remedy)
    return Exit.DONE
