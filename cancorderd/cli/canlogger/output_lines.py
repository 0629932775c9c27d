"""Lines in the format of the ancestor's commands: `12:34:56.789 [can] ...`, and a line for each frame. Pure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.protocol.audience_mark import MarkedDecoder
from cancorderd.protocol.frame import EXTENDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.ipc.messages import Counts

RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN = range(31, 37)
"""Foreground colours (ECMA-48, 8.3.117)."""

_COLOURS = {
    "init": BLUE,
    "can": GREEN,
    "ready": GREEN,
    "zeroconf": MAGENTA,
    "server": BLUE,
    "exit": YELLOW,
    "stats": BLUE,
    "error": RED,
    "uds": MAGENTA,
    "obd": YELLOW,
}


def tag(word: str, colour: int | None = None, *, coloured: bool) -> str:
    """Return the word in brackets; `colour` replaces its usual colour."""
    text = f"[{word}]"
    return f"\033[{colour or _COLOURS[word]}m{text}\033[0m" if coloured else text


def clock(epoch_s: float) -> str:
    """Return the local time with milliseconds."""
    whole = int(epoch_s)
    return f"{time.strftime('%H:%M:%S', time.localtime(whole))}.{int((epoch_s - whole) * 1000):03}"


def statistics(counts: Counts, printed: int | None) -> list[str]:
    """Return the closing lines. `printed` is the number of printed frames, None if frames are not printed."""
    lost = f"lost by the kernel: {counts.lost_kernel}, by the adapter: {counts.lost_adapter}"
    lines = [
        f"Frames sent: {counts.sent}, dropped: {counts.lost_clients}, bytes: {counts.sent_bytes}",
        f"Frames received: {counts.received}, {lost}",
    ]
    if printed is not None:
        lines.append(f"Frames printed: {printed}, not printed: {max(0, counts.received - printed)}")
    return lines


class FrameLines:
    """Formats packets: bytes in, a line for each frame out. `prefix` returns the text before a frame's id."""

    def __init__(
        self, *, coloured: bool, uppercase: bool = False, prefix: Callable[[int], str] = lambda _id: ""
    ) -> None:
        self._tag = tag("can", CYAN, coloured=coloured)
        self._uppercase = uppercase
        self._prefix = prefix
        self._decoder = MarkedDecoder()
        self._second = -1
        self._clock = ""
        self.printed = 0
        """Frames formatted so far."""
        self._number = 0
        """Number of the last frame, counting also the frames that `skip` was called for."""

    def format(self, data: bytes, clients: int) -> str:
        """Return a line for each whole frame, with its newline; times are the frames' own stamps.

        `clients` is their number until the stream has a mark with it.
        """
        decoder = self._decoder
        decoder.receive(data)
        lines = []
        for stamp_us, arbitration_id, flags, payload in decoder.frames():
            second, fraction_us = divmod(stamp_us, 1_000_000)
            if second != self._second:
                self._second = second
                self._clock = time.strftime("%H:%M:%S", time.localtime(second))
            self._number += 1
            width = "08X" if flags & EXTENDED else "03X"
            text = payload.hex().upper() if self._uppercase else payload.hex()
            lines.append(
                f"{self._clock}.{fraction_us // 1000:03} {self._tag} #{self._number:5} {self._prefix(arbitration_id)}"
                f"ID={arbitration_id:{width}} DLC={len(payload)} DATA={text}"
                f" -> {clients if decoder.clients is None else decoder.clients} client(s)\n"
            )
        self.printed += len(lines)
        return "".join(lines)

    def skip(self, frames: int) -> None:
        """Leave out as many numbers as frames were dropped."""
        self._number += frames

    def start_stream(self) -> None:
        """Begin another stream of packets: the last one may have been cut off within a packet."""
        self._decoder = MarkedDecoder()
