"""The web process's end of the channel to the daemon that started it, or its replacement under a service manager."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING

from cancorderd.ipc.channel import Channel, ChannelClosed
from cancorderd.ipc.messages import Heartbeat, Notice, WorkerEnd
from cancorderd.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.ipc.messages import Message

_FLUSH_S = 1.0
_LONGEST = 4000
"""Characters of a line for the log, such as a trace."""
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Priorities of syslog(3), with which the journal reads lines (sd-daemon(3))."""


class SupervisorChannel:
    """Sends heartbeats and lines for the log to the daemon. Messages are dropped while it does not read them."""

    def __init__(self, descriptor: int, gone: Callable[[], None]) -> None:
        """`gone` is called when the daemon has ended. Create it in a running loop."""
        self._channel = Channel(socket.socket(fileno=descriptor))
        self._gone = gone
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._on_readable)

    def alive(self) -> None:
        self._send(Heartbeat())

    def log(self, level: str, text: str) -> None:
        self._send(Notice(level, text))

    def end(self, reason: str) -> None:
        """Send the reason of the end as the last message."""
        self._send(WorkerEnd(reason))
        self._channel.flush_within(_FLUSH_S)

    def _on_readable(self) -> None:
        try:
            self._channel.receive()
        except ChannelClosed:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._gone()

    def _send(self, message: Message) -> None:
        with contextlib.suppress(ChannelClosed):
            self._channel.flush()
            if not self._channel.backlog:
                self._channel.send(message)


class ServiceManager:
    """The same for systemd: notifications, and lines on standard error. Without systemd, the lines alone."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._journal = "JOURNAL_STREAM" in os.environ

    def alive(self) -> None:
        self._notify("READY=1\nWATCHDOG=1")

    def log(self, level: str, text: str) -> None:
        prefix = f"<{_PRIORITIES.get(level, 6)}>" if self._journal else f"{level}: "
        print(f"{prefix}{text}", file=sys.stderr, flush=True)

    def end(self, reason: str) -> None:
        self._notify("STOPPING=1")
        if reason:
            self.log("warning", reason)

    def _notify(self, text: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), self._address)


class ChannelHandler(logging.Handler):
    """Sends log records as lines to the daemon or to standard error."""

    def __init__(self, target: SupervisorChannel | ServiceManager) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # a record of a library that cannot be formatted
            text = " | ".join(self.format(record).split("\n"))
            self._target.log(record.levelname.lower(), printable(text, _LONGEST))
