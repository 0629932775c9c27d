"""`python -m cancorderd.recorder BUS --socket N RECORD CHANNEL`: what a worker starts for a bus that is recorded.

Packets come in on the socket, as to any client; reports and notices go out on it (`link`). The end of the
stream is the only thing that ends it in order: so the file is whole however the worker ended. RECORD is
the bus's table as JSON.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import select
import signal
import socket
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cancorderd.link import Link, LinkClosed
from cancorderd.recorder.recorder import Recorder
from cancorderd.wire import PacketDecoder

if TYPE_CHECKING:
    from cancorderd.report import Message

_USAGE = "usage: python -m cancorderd.recorder BUS --socket DESCRIPTOR RECORD CHANNEL"
_READ_BYTES = 1 << 18
_GATHER_S = 0.02
"""Frames gather for so long between reads: the worker must not wake this process with each."""
_TICK_S = 1.0
_NICER = 5
"""Where the machine is short of time, frames go to viewers first: what waits for a file is kept."""


def main(arguments: list[str]) -> int:
    faulthandler.enable()
    match arguments:
        case [bus, "--socket", descriptor, record, channel]:
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            with contextlib.suppress(OSError):
                os.nice(_NICER)
            section: Any = SimpleNamespace(**json.loads(record))
            worker = _Worker(socket.socket(fileno=int(descriptor)))
            recorder = Recorder(bus, section, channel, worker.tell)
            try:
                serve(worker, recorder)
            except BaseException:
                recorder.abandon()
                raise
            return 0
    print(_USAGE, file=sys.stderr)
    return 2


class _Worker:
    """The worker's end of the socket, as seen from here."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._link = Link(sock)

    def tell(self, message: Message) -> None:
        """Send a message; a worker that does not read misses it."""
        with contextlib.suppress(LinkClosed):
            self._link.flush()
            if not self._link.backlog:
                self._link.send(message)

    def receive(self) -> bytes:
        """What has come; empty at the end of the stream."""
        try:
            return self.socket.recv(_READ_BYTES)
        except ConnectionError:
            return b""


def serve(worker: _Worker, recorder: Recorder) -> None:
    """Record until the stream ends."""
    decoder = PacketDecoder()
    next_tick_s = 0.0
    while True:
        now_s = time.monotonic()
        if now_s >= next_tick_s:
            next_tick_s = now_s + _TICK_S
            recorder.tick(now_s)
            worker.tell(recorder.report())
        patience_s = max(0.0, next_tick_s - time.monotonic())
        if not select.select([worker.socket], [], [], patience_s)[0]:
            continue
        data = worker.receive()
        if not data:
            break
        decoder.receive(data)
        recorder.take(decoder.frames())
        if len(data) < _READ_BYTES:
            time.sleep(_GATHER_S)
    recorder.close()
    worker.tell(recorder.report())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
