"""The worker's end of the channel to its supervisor: reports and notices, and its clients when it ends."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from cancorderd.ipc.channel import Channel, ChannelClosed
from cancorderd.ipc.messages import Notice

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from cancorderd.ipc.channel import ReceivedMessage
    from cancorderd.ipc.messages import BusReport, ClientHandover, Message, WorkerEnd

_FLUSH_S = 60.0
"""Time for the supervisor to receive the clients of a worker that ends. A supervisor that stands still, as in a
debugger, costs no client; one that is gone closes the channel, and one that runs ends a worker that takes too long."""


class SupervisorChannel:
    """Sends without waiting, except in `end`. If the supervisor is gone, messages are discarded."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._open = True
        self._discarded = 0
        """Notices that were discarded since the last notice about them."""
        self._handed_over: list[socket.socket] = []
        """Sockets that the channel may still need."""
        self._spare = -1
        """A descriptor in reserve: a channel that has no room for a socket breaks, and a reader must not end the bus."""
        self.take_spare()

    @property
    def gone(self) -> bool:
        """Whether the supervisor is gone, as far as it was noticed."""
        return not self._open

    def fileno(self) -> int:
        """Readable when the supervisor has sent something or is gone; then call `receive`."""
        return self._channel.fileno()

    def report(self, report: BusReport) -> None:
        self._report_discarded()
        self._send_unless_congested(report)

    def notice(self, notice: Notice) -> None:
        self._report_discarded()
        if self._discarded or not self._send_unless_congested(notice):
            self._discarded += 1

    def hand_over(self, client: ClientHandover, sock: socket.socket, unsent: bytes) -> None:
        """Send a client's connection to the supervisor, and close it here once it is sent."""
        self._send(client, unsent, [sock])
        if self._channel.backlog:
            self._handed_over.append(sock)
        else:
            sock.close()

    def end(self, message: WorkerEnd) -> None:
        """Send the last message, and wait a moment until the supervisor has received everything."""
        self._send(message)
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        self._channel.flush_within(_FLUSH_S)
        for sock in self._handed_over:
            sock.close()
        self._handed_over.clear()

    def receive(self) -> list[ReceivedMessage] | None:
        """Return the messages that have arrived, or None if the supervisor is gone.

        If `take_spare` then returns False, close a socket that came with them.
        """
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        try:
            return self._channel.receive()
        except ChannelClosed:
            self._open = False
            return None

    def take_spare(self) -> bool:
        """Reserve a descriptor for the next socket; return whether there is one."""
        if self._spare < 0:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return self._spare >= 0

    def _report_discarded(self) -> None:
        """Say how many notices are missing. Reports are repeated anyway."""
        if self._discarded:
            text = (
                f"{self._discarded} messages of the worker are missing here: the supervisor did not read them"
            )
            if self._send_unless_congested(Notice("warning", text)):
                self._discarded = 0

    def _send_unless_congested(self, message: Message) -> bool:
        """Discard the message if the supervisor does not read: messages must not pile up here. Returns False then."""
        if self._channel.backlog and self._open:
            try:
                self._channel.flush()
            except ChannelClosed:
                self._open = False
        if self._channel.backlog:
            return False
        self._send(message)
        return True

    def _send(self, message: Message, payload: bytes = b"", sockets: Sequence[socket.socket] = ()) -> None:
        if self._open:
            try:
                self._channel.send(message, payload, sockets)
            except ChannelClosed:
                self._open = False
