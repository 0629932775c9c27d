"""`python -m cancorderd.worker BUS --link N`: what the supervisor starts, one process per bus.

By hand, `python -m cancorderd.worker BUS -c FILE` serves one bus of a configuration file.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
from typing import Any

from cancorderd.errors import WorkerExit
from cancorderd.link import Link, LinkClosed, Received
from cancorderd.report import Client, Counts, Settings, section_from_json
from cancorderd.worker.outlet import Outlet, Supervised, Terminal
from cancorderd.worker.run import Worker

_USAGE = "usage: python -m cancorderd.worker BUS (--link DESCRIPTOR | -c FILE)"


def main(arguments: list[str]) -> int:
    # SIGABRT comes before SIGKILL where a worker hangs: it leaves a trace of where.
    faulthandler.enable()
    match arguments:
        case [_bus, "--link", descriptor]:
            return supervised(int(descriptor))
        case [bus, "-c", path]:
            return by_hand(path, bus)
    print(_USAGE, file=sys.stderr)
    return 2


def supervised(descriptor: int) -> int:
    """Serve what the link says; nothing to do where it closes before the first message."""
    # A terminal sends these to the whole group; the supervisor decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sock = socket.socket(fileno=descriptor)
    link = Link(sock)
    try:
        settings, *clients = _first_messages(sock, link)
    except LinkClosed:
        return WorkerExit.DONE
    message = _expected_settings(settings)
    listeners = [socket.socket(fileno=one) for one in settings.descriptors]
    taken = [
        (one.message, socket.socket(fileno=one.descriptors[0]), one.payload)
        for one in clients
        if isinstance(one.message, Client)
    ]
    worker = Worker(section_from_json(message.section), Supervised(link), message.remembered)
    return worker.run(listeners, taken)


def _first_messages(sock: socket.socket, link: Link) -> list[Received]:
    """The settings and the clients that come with them, as many as the settings announce."""
    received: list[Received] = []
    while not received or len(received) <= _expected_settings(received[0]).clients:
        sock.setblocking(True)
        received += link.receive()
    sock.setblocking(False)
    return received


def _expected_settings(first: Received) -> Settings:
    if not isinstance(first.message, Settings):
        raise TypeError(f"the supervisor's first message is {first.message}")
    return first.message


def by_hand(path: str, bus: str) -> int:
    """Serve one bus of a configuration file until Ctrl+C."""
    from cancorderd.config.load import ConfigurationError, load  # noqa: PLC0415 - not in a supervised worker

    try:
        sections: dict[str, Any] = {one.name: one for one in load(path).buses}
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    if bus not in sections:
        print(f"{path} has no bus {bus}; it has: {', '.join(sections)}", file=sys.stderr)
        return 1
    section = sections[bus]
    listeners = [
        socket.create_server(
            (host, section.port or 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        for host in section.listen
    ]
    print(
        f"{bus}: listening on",
        ", ".join(f"port {one.getsockname()[1]}" for one in listeners),
        file=sys.stderr,
    )
    outlet: Outlet = Terminal()
    worker = Worker(section, outlet, Counts())
    signal.signal(signal.SIGINT, lambda _number, _frame: worker.stop())
    return worker.run(listeners, [])


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    # Not sys.exit: a driver's thread that hangs must not keep the process from ending.
    os._exit(status)
