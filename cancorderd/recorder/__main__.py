"""`python -P -m cancorderd.recorder BUS --socket N RECORD CHANNEL [...]`: a bus's recorder.

N is an inherited socket: packets arrive on it as at any client, reports and notices leave on it (`ipc.channel`).
Only the end of the stream ends the process in order, so the file is whole however the worker ended. RECORD is
the bus's `record` table as JSON, CHANNEL the channel that log files name.

`--supervisor M WRITTEN DROPPED [ERRORS ERRORS_DROPPED]` names a socket to the supervisor, and frames that the worker's
earlier recorders wrote and dropped; ERRORS are remote and error frames. The sums are sent there at the end, when the
worker may be gone.
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
from typing import TYPE_CHECKING

from cancorderd.config.record_settings import RecordSettings
from cancorderd.ipc.channel import Channel, ChannelClosed
from cancorderd.ipc.messages import RecordingEnd
from cancorderd.protocol.internal_packets import InternalDecoder
from cancorderd.recorder.recorder import Recorder
from cancorderd.standard_error import STANDARD_ERROR, print_without_waiting

if TYPE_CHECKING:
    from cancorderd.ipc.messages import Message

_USAGE = (
    "usage: python -P -m cancorderd.recorder BUS --socket DESCRIPTOR RECORD CHANNEL "
    "[--supervisor DESCRIPTOR WRITTEN DROPPED [ERRORS ERRORS_DROPPED]]"
)
_READ_BYTES = 1 << 18
_GATHER_S = 0.02
"""Time for frames to gather between reads, so that the worker does not wake this process with each frame."""
_TICK_S = 1.0
_NICER = 5
"""If the machine is busy, viewers get their frames first; frames for the file wait in the backlog."""


def main(arguments: list[str]) -> int:
    print_without_waiting()
    faulthandler.enable(STANDARD_ERROR)
    match arguments:
        case [bus, "--socket", descriptor, record, channel, *to_supervisor]:
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            with contextlib.suppress(OSError):
                os.nice(_NICER)
            settings = RecordSettings(**json.loads(record))
            worker = _WorkerSocket(socket.socket(fileno=int(descriptor)))
            recorder = Recorder(bus, settings, channel, worker.send)
            try:
                serve(worker, recorder)
            except BaseException:
                recorder.abandon()
                raise
            finally:
                _send_end(to_supervisor, recorder)
            return 0
    print(_USAGE, file=sys.stderr)
    return 2


class _WorkerSocket:
    """The socket to the worker: packets in, messages out."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._channel = Channel(sock)

    def send(self, message: Message) -> None:
        """Send a message; it is discarded if the worker does not read."""
        with contextlib.suppress(ChannelClosed):
            self._channel.flush()
            if not self._channel.backlog:
                self._channel.send(message)

    def receive(self) -> bytes:
        """Return the bytes that have arrived; empty at the end of the stream."""
        try:
            return self.socket.recv(_READ_BYTES)
        except ConnectionError:
            return b""


def _send_end(to_supervisor: list[str], recorder: Recorder) -> None:
    """Send the supervisor the frames of all recorders of the worker."""
    match to_supervisor:
        case ["--supervisor", descriptor, *earlier]:
            frames, dropped, errors, errors_dropped = [*map(int, earlier), 0, 0][:4]
            report = recorder.report()
            end = RecordingEnd(
                frames + report.frames,
                dropped + report.dropped,
                errors + report.errors,
                errors_dropped + report.errors_dropped,
            )
            with contextlib.suppress(ChannelClosed):
                Channel(socket.socket(fileno=int(descriptor))).send(end)


def serve(worker: _WorkerSocket, recorder: Recorder) -> None:
    """Record until the stream ends."""
    decoder = InternalDecoder()
    # Not select(), which takes no descriptor above 1023: this one has the number that it had in the worker.
    poll = select.poll()
    poll.register(worker.socket, select.POLLIN)
    next_tick_s = 0.0
    while True:
        now_s = time.monotonic()
        if now_s >= next_tick_s:
            next_tick_s = now_s + _TICK_S
            recorder.tick(now_s)
            worker.send(recorder.report())
        wait_s = max(0.0, next_tick_s - time.monotonic())
        if not poll.poll(1000 * wait_s):
            continue
        data = worker.receive()
        if not data:
            break
        decoder.receive(data)
        recorder.record(decoder.frames())
        if len(data) < _READ_BYTES:
            time.sleep(_GATHER_S)
    recorder.close()
    worker.send(recorder.report())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
