"""What python-can's interfaces detect, asked in a process of its own.

Drivers print, hang and crash: run as `python -m cancorderd.detect.python_can INTERFACE...`, each is
asked in its own thread, and what it says goes to a pipe that no driver knows. `described` is pure.
"""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import threading
import time
from importlib.metadata import entry_points
from typing import Any

from cancorderd.config.interfaces import PYTHON_CAN_INTERFACES
from cancorderd.detect.found import Found

DEADLINE_S = 6.0
"""Importing every driver takes 1 s on a slow machine."""
SOFTWARE = frozenset({"serial", "socketcand", "udp_multicast", "virtual"})
"""Interfaces that detect no adapter: they are there on every machine, or search the network."""
_OWN = frozenset({"ecuconnect", "gs_usb", "slcan", "socketcan", "toucan"})
"""What the other modules here look for, and our plug-in: other daemons' buses, and this one's, are no adapters."""
_TELLING_APART = {
    "ixxat": ("unique_hardware_id",),
    "neovi": ("serial",),
    "socketcand": ("host", "port"),
    "systec": ("device_number",),
    "vector": ("serial",),
}
"""What of a detected configuration the interface's bus needs beside the channel; the rest describes it."""


def interfaces(*, software: bool) -> list[str]:
    """Which interfaces are asked; with `software` also those that need no adapter."""
    left_out = _OWN if software else _OWN | SOFTWARE
    plugins = (entry.name for entry in entry_points(group="can.interface"))
    return sorted({*PYTHON_CAN_INTERFACES, *plugins} - left_out)


def described(configuration: dict[str, Any]) -> Found | None:
    """A detected configuration as what was found; None for one that names nothing to open."""
    interface = str(configuration.get("interface", ""))
    channel = configuration.get("channel", configuration.get("name"))
    if not isinstance(channel, str | int) or isinstance(channel, bool):
        return None
    keys: dict[str, Any] = {"channel": channel}
    wanted = _TELLING_APART.get(interface, ())
    options = {key: configuration[key] for key in wanted if isinstance(configuration.get(key), str | int)}
    if options:
        keys["options"] = options
    words = [str(configuration[key]) for key in ("device_name", "serial") if configuration.get(key)]
    state = "without hardware" if interface in SOFTWARE else "detected"
    return Found(interface, str(channel), " ".join(words) or "through python-can", state, keys)


class Search:
    """The process that asks, started at once; `result` waits for it."""

    def __init__(self, names: list[str]) -> None:
        self._left = set(names)
        self._deadline_s = time.monotonic() + DEADLINE_S
        reader, writer = os.pipe()
        self._reader = reader
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(writer), *names],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(writer,),
                start_new_session=True,
            )
        finally:
            os.close(writer)

    def result(self) -> tuple[list[Found], list[str]]:
        """What was found, and which interfaces did not answer in time."""
        text = b""
        while (left_s := self._deadline_s - time.monotonic()) > 0:
            if select.select([self._reader], [], [], left_s)[0]:
                piece = os.read(self._reader, 65536)
                if not piece:
                    break
                text += piece
        self._process.kill()
        self._process.wait()
        os.close(self._reader)
        found = []
        for line in text.split(b"\n")[:-1]:  # what follows the last one was cut short
            name, configurations = json.loads(line)
            self._left.discard(name)
            found += [each for each in map(described, configurations) if each is not None]
        return sorted(found, key=lambda one: (one.interface, one.channel)), sorted(self._left)


def _ask(name: str, writer: int) -> None:
    """One line: the interface's name and what it detects, less what has no form in JSON."""
    configurations: list[dict[str, Any]] = []
    try:
        import can  # noqa: PLC0415 - in this process only

        configurations = [
            {key: value for key, value in each.items() if isinstance(value, str | int | float | None)}
            for each in can.detect_available_configs(name)
        ]
    except Exception:  # noqa: BLE001, S110 - a driver that fails has detected nothing
        pass
    os.write(writer, json.dumps([name, configurations]).encode() + b"\n")


def main(arguments: list[str]) -> None:
    writer, *names = arguments
    logging.disable()
    threads = [threading.Thread(target=_ask, args=(name, int(writer)), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # not sys.exit: a driver may have left threads that do not end
