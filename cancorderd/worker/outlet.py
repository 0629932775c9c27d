"""Where a worker's reports and clients go: to the supervisor by the link, or to a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from cancorderd.link import Link, LinkClosed

if TYPE_CHECKING:
    import socket

    from cancorderd.report import Client, Ended, Message, Notice, Report

_LAST_WORDS_S = 2.0
"""How long the supervisor may take to receive the clients of a worker that ends."""


class Outlet(Protocol):
    """What the worker's loop needs of the world beside its adapter and its clients."""

    descriptor: int | None
    """Readable when `still_there` has to be asked."""

    def report(self, report: Report) -> None: ...
    def notice(self, notice: Notice) -> None: ...
    def give_client(self, client: Client, sock: socket.socket, owed: bytes) -> None: ...
    def end(self, ended: Ended) -> None: ...
    def still_there(self) -> bool: ...


class Supervised:
    """Over the link. Never waits for the supervisor but at the end, and then not for long."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.descriptor: int | None = link.fileno()
        self._there = True

    def report(self, report: Report) -> None:
        self._send_if_heard(report)

    def notice(self, notice: Notice) -> None:
        self._send_if_heard(notice)

    def give_client(self, client: Client, sock: socket.socket, owed: bytes) -> None:
        self._send(client, owed, [sock.fileno()])
        sock.close()

    def end(self, ended: Ended) -> None:
        self._send(ended)
        self._link.flush_within(_LAST_WORDS_S)

    def still_there(self) -> bool:
        try:
            self._link.receive()
        except LinkClosed:
            self._there = False
            self.descriptor = None
        return self._there

    def _send_if_heard(self, message: Message) -> None:
        """A supervisor that does not read misses messages: they must not pile up here."""
        if self._link.backlog and self._there:
            try:
                self._link.flush()
            except LinkClosed:
                self._there = False
        if not self._link.backlog:
            self._send(message)

    def _send(self, message: Message, payload: bytes = b"", descriptors: list[int] | None = None) -> None:
        if self._there:
            try:
                self._link.send(message, payload, descriptors or [])
            except LinkClosed:
                self._there = False


class Terminal:
    """By hand, without a supervisor: reports that change something go to standard error."""

    descriptor: int | None = None

    def __init__(self) -> None:
        self._told = ""

    def report(self, report: Report) -> None:
        text = f"{report.phase}: {report.reason}" if report.reason else report.phase
        if text != self._told:
            self._told = text
            print(text, file=sys.stderr)

    def notice(self, notice: Notice) -> None:
        print(notice.text, file=sys.stderr)

    def give_client(self, client: Client, sock: socket.socket, owed: bytes) -> None:  # noqa: ARG002
        sock.close()

    def end(self, ended: Ended) -> None:
        if ended.reason:
            print(ended.reason, file=sys.stderr)

    def still_there(self) -> bool:
        return True
