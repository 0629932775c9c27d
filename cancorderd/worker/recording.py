"""The worker's side of recording: starts the bus's recorder, feeds it, and starts it anew when it ends.

The recorder is a process of its own, fed like a client: with one call per batch, and a backlog past which
the oldest frames are dropped. So neither python-can's writers nor a disk that hangs can hold the bus up.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from cancorderd.link import Link, LinkClosed
from cancorderd.report import Notice
from cancorderd.report import Recording as Told
from cancorderd.worker.fanout import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.frame import Batch

_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 60.0
_SETTLED_S = 60.0
"""A recorder that lived for so long is started anew after the first delay."""
_SILENT_S = 5.0
"""A recorder reports each second, unless its disk hangs."""
_CLOSE_S = 0.3
"""How long the end of a worker waits for the recorder's last report; the file is closed either way."""
_REAPED_S = 0.02
"""How long a process that has closed its socket may take to be gone."""
_SEND_BUFFER = 1 << 20


class Recording:
    """One bus's recording. Its socket sits in the caller's selector with a callback."""

    def __init__(
        self, section: Any, selector: selectors.BaseSelector, notice: Callable[[str, str], None]
    ) -> None:
        self._section = section
        self._selector = selector
        self._notice = notice
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._backlog = Backlog(section.client_backlog)
        self._told = Told("recording", "", "", 0)
        self._heard_s = self._started_s = self._next_start_s = 0.0
        self._delay_s = _FIRST_DELAY_S
        self._frames = 0
        """What earlier recorders wrote,"""
        self._dropped = 0
        """and what they, or nobody, did not."""
        self._behind = False
        self._lost = 0
        self._start(time.monotonic())

    def take(self, batch: Batch) -> None:
        """Pass a batch on to the recorder. Never waits."""
        packets, frames = batch
        if self._socket is None:
            self._dropped += frames
            return
        sent = 0
        if not self._backlog.size:
            try:
                sent = self._socket.send(packets)
            except BlockingIOError:
                pass
            except OSError:
                self._dropped += frames
                self._ended()
                return
        if sent == len(packets):
            self._backlog.frames_sent += frames
        else:
            self._backlog.owe(batch, sent)
            self._watch()

    def tick(self, now_s: float) -> None:
        """Once a second: start the recorder where it is due, and tell of frames that it was too slow for."""
        if self._socket is None and now_s >= self._next_start_s:
            self._start(now_s)
        lost = self._backlog.frames_dropped
        behind = lost > self._lost
        if behind and not self._behind:
            self._notice("warning", "recording falls behind: frames are left out of the file")
        self._lost, self._behind = lost, behind

    def report(self, now_s: float) -> Told:
        """How it goes, with the frames of all recorders of this worker."""
        told, backlog = self._told, self._backlog
        silent_s = now_s - self._heard_s
        if self._socket and silent_s > _SILENT_S:
            told = told._replace(
                reason=f"the recorder has said nothing for {silent_s:.0f} s. Check the disk of "
                f"{self._section.record.directory}."
            )
        return told._replace(
            frames=self._frames + told.frames,
            dropped=self._dropped + told.dropped + backlog.frames_dropped,
        )

    def close(self) -> None:
        """End the stream, so that the recorder closes its file, and wait a moment for its last report."""
        if self._socket is None:
            return
        sock, deadline_s = self._socket, time.monotonic() + _CLOSE_S
        with contextlib.suppress(OSError):
            sock.settimeout(_CLOSE_S)
            while self._backlog.size:
                self._send_owed(sock)
            sock.shutdown(socket.SHUT_WR)
            while (left_s := deadline_s - time.monotonic()) > 0:
                sock.settimeout(left_s)
                if not self._hear():
                    break
        self._forget()

    def _start(self, now_s: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    _command(self._section, theirs.fileno()),
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, process_group=0,
                )  # fmt: skip
            except OSError as error:
                ours.close()
                self._put_off(f"the recorder cannot be started ({error.strerror})", now_s)
                return
        self._socket, self._link = ours, Link(ours)
        self._backlog, self._lost = Backlog(self._section.client_backlog), 0
        self._started_s = self._heard_s = now_s
        self._selector.register(ours, selectors.EVENT_READ, self._serve)

    def _watch(self) -> None:
        """Wake for writing exactly while something is owed."""
        if self._socket:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._backlog.size else 0)
            if self._selector.get_key(self._socket).events != events:
                self._selector.modify(self._socket, events, self._serve)

    def _serve(self, events: int) -> None:
        if events & selectors.EVENT_READ and not self._hear():
            self._ended()
        if events & selectors.EVENT_WRITE and self._socket:
            try:
                while self._backlog.size and self._send_owed(self._socket):
                    pass
            except BlockingIOError:
                pass
            except OSError:
                self._ended()
            self._watch()

    def _send_owed(self, sock: socket.socket) -> bool:
        """Send the next chunk; True where the socket took it whole."""
        with self._backlog.next_bytes() as owed:
            whole = len(owed)
            sent = sock.send(owed)
        self._backlog.paid(sent)
        return sent == whole

    def _hear(self) -> bool:
        """Take what the recorder says; False where it says no more."""
        try:
            received = self._link.receive()
        except LinkClosed:
            return False
        for one in received:
            match one.message:
                case Told() as told:
                    self._told, self._heard_s = told, time.monotonic()
                case Notice(level, text):
                    self._notice(level, text)
        return True

    def _ended(self) -> None:
        """The recorder is gone: count what it had and did not write."""
        told, backlog = self._told, self._backlog
        _, owed = backlog.hand_over()
        unwritten = max(0, backlog.frames_sent - told.frames - told.dropped)
        self._frames += told.frames
        self._dropped += told.dropped + backlog.frames_dropped + owed + unwritten
        self._backlog = Backlog(self._section.client_backlog)
        self._forget()
        self._put_off(f"the recorder ended{self._how()}", time.monotonic())

    def _put_off(self, why: str, now_s: float) -> None:
        """Settle when the next one starts."""
        settled = now_s - self._started_s > _SETTLED_S
        delay_s = _FIRST_DELAY_S if settled else self._delay_s
        self._delay_s = min(_LONGEST_DELAY_S, 2 * delay_s)
        self._next_start_s = now_s + delay_s
        why = f"{why}; the next one starts in {delay_s:.0f} s."
        self._told = self._told._replace(state="stopped", reason=why, frames=0, dropped=0)
        self._notice("error", f"recording stopped: {why}")

    def _how(self) -> str:
        """By which signal or status, where that is known soon enough."""
        try:
            status = self._process.wait(_REAPED_S) if self._process else 0
        except subprocess.TimeoutExpired:
            return ""
        return (
            f" by signal {-status} ({signal.strsignal(-status)})" if status < 0 else f" with status {status}"
        )

    def _forget(self) -> None:
        if self._socket:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None


def _command(section: Any, descriptor: int) -> list[str]:
    """What starts the recorder: see `recorder.__main__`."""
    keys = {key: getattr(section.record, key) for key in ("directory", "format", "rotate_mb", "keep")}
    channel = section.channel if section.interface == "socketcan" else section.name
    return [
        *(sys.executable, "-m", "cancorderd.recorder", section.name),
        *("--socket", str(descriptor), json.dumps(keys), str(channel)),
    ]
