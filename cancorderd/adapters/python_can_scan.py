"""python-can: the adapters that its interfaces detect, in a process of its own.

Drivers print, hang and crash. Run as `python -P -m cancorderd.adapters.python_can_scan PIPE INTERFACE...`, this module
asks each driver in a thread of its own, and writes the results to a pipe that no driver knows of. `found_adapter` is
pure.
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
from typing import TYPE_CHECKING, Any

from cancorderd.adapters import python_can_interfaces
from cancorderd.adapters.registry import ADAPTERS
from cancorderd.adapters.scan import FoundAdapter, ScanResult
from cancorderd.python_command import python_command

if TYPE_CHECKING:
    from cancorderd.adapters.scan import ScanOptions

DEADLINE_S = 6.0
"""Importing every driver takes 1 s on a slow machine."""
SOFTWARE = frozenset({"serial", "socketcand", "udp_multicast", "virtual"})
"""Interfaces that detect no adapter: they exist on every machine, or search the network."""
_OWN = frozenset({"ecuconnect", *ADAPTERS})
"""Interfaces with an adapter here, and cancorderd's plug-in: buses of daemons are no adapters."""
_IDENTIFYING_KEYS = {
    "ixxat": ("unique_hardware_id",),
    "neovi": ("serial",),
    "socketcand": ("host", "port"),
    "systec": ("device_number",),
    "vector": ("serial",),
}
"""Keys of a detected configuration that the bus needs besides the channel; the others only describe the adapter."""


def scan(options: ScanOptions) -> ScanResult:
    """Find the adapters that python-can's interfaces detect."""
    found, unanswered = Search(interfaces(software=options.software)).result()
    if not unanswered:
        return ScanResult(found)
    names = ", ".join(unanswered)
    return ScanResult(
        found, [f"These drivers of python-can did not answer within {DEADLINE_S:g} s: {names}."]
    )


def interfaces(*, software: bool) -> list[str]:
    """Return the interfaces to ask; with `software` also those that need no adapter."""
    left_out = _OWN if software else _OWN | SOFTWARE
    return sorted({*python_can_interfaces.INTERFACES, *python_can_interfaces.plugins()} - left_out)


def found_adapter(configuration: dict[str, Any]) -> FoundAdapter | None:
    """Return a detected configuration as an adapter; None if it has no channel to open."""
    interface = str(configuration.get("interface", ""))
    channel = configuration.get("channel", configuration.get("name"))
    if not isinstance(channel, str | int) or isinstance(channel, bool):
        return None
    keys: dict[str, Any] = {"channel": channel}
    wanted = _IDENTIFYING_KEYS.get(interface, ())
    options = {key: configuration[key] for key in wanted if isinstance(configuration.get(key), str | int)}
    if options:
        keys["options"] = options
    words = [str(configuration[key]) for key in ("device_name", "serial") if configuration.get(key)]
    state = "without hardware" if interface in SOFTWARE else "detected"
    return FoundAdapter(interface, str(channel), " ".join(words) or "through python-can", state, keys)


class Search:
    """The process that asks the drivers. The constructor starts it, `result` waits for it."""

    def __init__(self, names: list[str]) -> None:
        self._left = set(names)
        self._deadline_s = time.monotonic() + DEADLINE_S
        reader, writer = os.pipe()
        self._reader = reader
        try:
            self._process = subprocess.Popen(
                python_command(__name__, str(writer), *names),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(writer,),
                start_new_session=True,
            )
        finally:
            os.close(writer)

    def result(self) -> tuple[list[FoundAdapter], list[str]]:
        """Return the adapters, and the interfaces that did not answer in time."""
        text = b""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        while (left_s := self._deadline_s - time.monotonic()) > 0:
            if poll.poll(1000 * left_s):
                piece = os.read(self._reader, 65536)
                if not piece:
                    break
                text += piece
        self._process.kill()
        self._process.wait()
        os.close(self._reader)
        found = []
        for line in text.split(b"\n")[:-1]:  # the rest is an incomplete line
            name, configurations = json.loads(line)
            self._left.discard(name)
            adapters = map(found_adapter, configurations)
            found += [adapter for adapter in adapters if adapter is not None]
        return sorted(found, key=lambda adapter: (adapter.interface, adapter.channel)), sorted(self._left)


def _ask(name: str, writer: int) -> None:
    """Write a line with the interface's name and the configurations it detects, without values that JSON lacks."""
    configurations: list[dict[str, Any]] = []
    try:
        import can  # noqa: PLC0415 - in this process only

        configurations = [
            {key: value for key, value in detected.items() if isinstance(value, str | int | float | None)}
            for detected in can.detect_available_configs(name)
        ]
    except Exception:  # noqa: BLE001, S110 - a driver that fails has detected nothing
        pass
    os.write(writer, json.dumps([name, configurations]).encode() + b"\n")


def main(arguments: list[str]) -> None:
    """Ask every interface in `arguments`, which begin with the descriptor of the pipe."""
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
