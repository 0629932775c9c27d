"""`cancorderctl config`: the effective settings of buses, and the line of the file that each comes from."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import subcommand
from cancorderd.cli.ctl.bus_names import unknown_bus
from cancorderd.cli.ctl.service_file import WHICH, service_file
from cancorderd.cli.ctl.terminal import print_error
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.config.bus_settings import BusSettings

_DEFAULT = "default"


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "config",
        "show the effective settings of buses and the line of the file that each comes from",
        run,
        ("config body", "with defaults, as the file says now"),
        ("config --json", "all buses, for scripts"),
    )
    subcommand.add_buses(parser)
    parser.add_argument("--config", metavar="FILE", help=f"configuration file (default: {WHICH})")
    subcommand.add_json(parser)


def run(options: argparse.Namespace) -> int:
    from cancorderd.config.loading import ConfigurationError, loaded_with_origins

    try:
        configuration, origins = loaded_with_origins(service_file(options.config, options.socket))
    except ConfigurationError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return Exit.FAILED
    buses = {bus.name: bus for bus in configuration.buses}
    for name in options.buses:
        if name not in buses:
            print_error(unknown_bus(name, list(buses)))
            return Exit.FAILED
    chosen = [buses[name] for name in options.buses or buses]
    if options.json:
        print(json.dumps({bus.name: settings(bus, origins[bus.name]) for bus in chosen}, indent=2))
    else:
        print("\n\n".join(table(bus, origins[bus.name]) for bus in chosen))
    return Exit.DONE


def settings(bus: BusSettings, origins: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Return value and origin of each key that has a value."""
    from dataclasses import asdict

    from cancorderd.config.schema import keys

    values = asdict(bus)
    return {
        key: {"value": values[key], "from": origins.get(key, _DEFAULT)}
        for key in keys(type(bus))
        if values[key] is not None
    }


def table(bus: BusSettings, origins: Mapping[str, str]) -> str:
    """Return the table as a file could hold it, each key with its origin as a comment."""
    from cancorderd.config.problem import written
    from cancorderd.config.schema import keys

    lines = {}
    for key, found in settings(bus, origins).items():
        as_hex = keys(type(bus))[key].key.quantity.as_hex
        lines[f"{key} = {written(_without_unset(found['value']), as_hex=as_hex)}"] = found["from"]
    width = min(40, max(map(len, lines)))
    return "\n".join(
        [f"[bus.{bus.name}]", *(f"{line:{width}}  # {origin}" for line, origin in lines.items())]
    )


def _without_unset(value: object) -> object:
    """Return a nested table without the keys that have no value: TOML cannot write them."""
    if isinstance(value, dict):
        return {key: _without_unset(item) for key, item in value.items() if item is not None}
    return [*map(_without_unset, value)] if isinstance(value, list | tuple) else value
