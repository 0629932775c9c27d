"""`cancorderctl discover`: the loggers on the network, as Zeroconf tells of them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from cancorderd import client
from cancorderd.cli import layout, render, terminal
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cancorderd.client import Logger

_HEADER = ("NAME", "BUS", "HOST", "ADDRESSES", "PORT", "INTERFACE", "CHANNEL", "BITRATE", "SYSTEM")
_TEXT = ("interface", "channel", "bitrate", "system")
_NOTHING = (
    "No logger answered within {:g} s. Buses are announced unless zeroconf = false; a firewall must let "
    "UDP 5353 through; networks rarely pass Zeroconf on to each other: use HOST:PORT there."
)


def run(options: argparse.Namespace) -> int:
    try:
        loggers = client.discover(options.timeout)
    except client.DiscoveryFailed as error:
        raise ControlError(str(error), Exit.FAILED) from error
    if options.json:
        print(json.dumps([one._asdict() for one in loggers], indent=2))
    elif terminal.on_terminal() and loggers:
        terminal.show(layout.table(cells(loggers)))
    elif loggers:
        print("\n".join(render.columns(*cells(loggers))))
    if not loggers:
        print(_NOTHING.format(options.timeout), file=sys.stderr)
    return Exit.DONE if loggers else Exit.FAILED


def cells(loggers: Sequence[Logger]) -> render.Table:
    """A row for each logger; what it does not say is `-`."""
    rows = [
        (
            one.name,
            one.text.get("bus") or "-",
            one.host,
            " ".join(one.addresses),
            str(one.port),
            *(one.text.get(key) or "-" for key in _TEXT),
        )
        for one in loggers
    ]
    return render.Table(_HEADER, rows)
