"""An slcan adapter in virtual time, as firmware really is: deaf at first, talkative, slow, mute in parts."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cancorderd.adapters.slcan.setup import SetUp

DEFAULT_BITRATE = b"S3"
"""The bitrate of firmware that is opened without S."""


@dataclass
class VirtualAdapter:
    """Firmware whose port was opened at 0 s."""

    deaf_s: float = 0.0
    """Commands that arrive before are lost."""
    banner: list[tuple[float, bytes]] = field(default_factory=list)
    """Text that it sends by itself, by time."""
    delay_s: float = 0.001
    """From a command to its answer."""
    mute: bytes = b""
    """First letters of the commands without an answer."""
    refused: bytes = b""
    line_end: bytes = b"\r"
    version: bytes = b"V1013"
    echo: bool = False
    strict: bool = True
    """C is refused when it is closed, and settings when it is open."""
    open: bool = False
    streams: bool = False
    """It streams in any case while it is open; otherwise a frame follows the opening."""
    unstoppable: bool = False
    """It goes on sending frames whatever is commanded, and acknowledges everything."""
    bitrate: bytes = DEFAULT_BITRATE
    frame: bytes = b"t1232AABB"
    """Empty for a bus that is silent."""
    opened_with: list[bytes] = field(default_factory=list)
    """Each opening's bitrate."""
    opened_s: float = 0.0

    def __post_init__(self) -> None:
        self._order = itertools.count()
        self._output: list[tuple[float, int, bytes]] = []
        for time_s, text in self.banner:
            self.emit(time_s, text)
        self._next_frame_s = 0.0 if self.frame else float("inf")

    def emit(self, time_s: float, text: bytes) -> None:
        heapq.heappush(self._output, (time_s, next(self._order), text))

    def next_output_s(self) -> float:
        due_s = self._output[0][0] if self._output else float("inf")
        return min(due_s, self._next_frame_s) if self.open else due_s

    def output(self, now_s: float) -> bytes:
        if self.open and now_s >= self._next_frame_s:
            self.emit(now_s, self.frame + self.line_end)
            self._next_frame_s = now_s + (0.03 if self.streams else 0.2)
        text = b""
        while self._output and self._output[0][0] <= now_s:
            text += heapq.heappop(self._output)[2]
        return text

    def hear(self, text: bytes, now_s: float) -> None:
        if now_s < self.deaf_s:
            return
        command = text.split(b"\r")[0]
        if self.echo:
            self.emit(now_s + self.delay_s, command + b"\r")
        answer = self._obey(command, now_s)
        if command[:1] not in self.mute:
            self.emit(now_s + self.delay_s, answer)

    def _obey(self, command: bytes, now_s: float) -> bytes:
        kind = command[:1]
        if self.unstoppable and kind in b"CSYZOL":
            self.bitrate = command if kind == b"S" else self.bitrate
            self.opened_with += [self.bitrate] * (kind == b"O")
            return self.line_end
        if kind in self.refused:
            return b"\a"
        if kind == b"C":
            was_open, self.open = self.open, False
            return self.line_end if was_open or not self.strict else b"\a"
        if kind in (b"S", b"s", b"Y", b"Z"):
            if self.open and self.strict:
                return b"\a"
            if kind in (b"S", b"s"):
                self.bitrate = command
            return self.line_end
        if kind in (b"O", b"L"):
            if self.open:
                return b"\a"
            self.open = True
            self.opened_with.append(self.bitrate)
            self.opened_s = now_s
            if self.frame:
                self._next_frame_s = now_s + self.delay_s + 0.01
            return self.line_end
        if kind == b"V":
            return self.version + self.line_end
        return b"NLAB1" + self.line_end if kind == b"N" else b"\a"


def converse(set_up: SetUp, adapter: VirtualAdapter, until_s: float = 25.0) -> tuple[float, bytes]:
    """Let them talk until the set-up is proved; return the time and the stream. Raises as the set-up does."""
    now_s, stream = 0.0, b""
    for _ in range(20_000):
        to_send, piece = set_up.step(adapter.output(now_s), now_s)
        stream += piece
        if to_send:
            adapter.hear(to_send, now_s)
        if set_up.proved:
            return now_s, stream
        now_s = max(now_s + 0.0001, min(set_up.due_s, adapter.next_output_s()))
        if now_s > until_s:
            return until_s, stream
    raise AssertionError("the conversation does not advance")
