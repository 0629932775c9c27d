"""Lines as the ancestor's commands print them: `12:34:56.789 [can] …`, and one for each frame. Pure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.frame import EXTENDED
from cancorderd.wire import PacketDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN = range(31, 37)

_COLOURS = {
    "init": BLUE,
    "can": GREEN,
    "ready": GREEN,
    "zeroconf": MAGENTA,
    "server": BLUE,
    "exit": YELLOW,
    "stats": BLUE,
    "error": RED,
}


def tag(word: str, colour: int | None = None, *, coloured: bool) -> str:
    """The word in brackets; `colour` in place of its usual one."""
    text = f"[{word}]"
    return f"\033[{colour or _COLOURS[word]}m{text}\033[0m" if coloured else text


def clock(epoch_s: float) -> str:
    """Local time with milliseconds."""
    whole = int(epoch_s)
    return f"{time.strftime('%H:%M:%S', time.localtime(whole))}.{int((epoch_s - whole) * 1000):03}"


class FrameLines:
    """Bytes of the wire in, a line for each frame out. `note` is what stands before a frame's id."""

    def __init__(
        self, *, coloured: bool, upper: bool = False, note: Callable[[int], str] = lambda _id: ""
    ) -> None:
        self._tag = tag("can", CYAN, coloured=coloured)
        self._upper = upper
        self._note = note
        self._decoder = PacketDecoder()
        self._second = -1
        self._clock = ""
        self.printed = 0
        self.number = 0
        """Of the last frame; goes on over those that were dropped, as far as `skip` told of them."""

    def of(self, data: bytes, clients: int) -> str:
        """The lines of every whole frame, each with its newline; times are the frames' own stamps."""
        self._decoder.receive(data)
        end = f" -> {clients} client(s)\n"
        lines = []
        for stamp_us, arbitration_id, flags, payload in self._decoder.frames():
            second, fraction_us = divmod(stamp_us, 1_000_000)
            if second != self._second:
                self._second = second
                self._clock = time.strftime("%H:%M:%S", time.localtime(second))
            self.number += 1
            width = "08X" if flags & EXTENDED else "03X"
            text = payload.hex().upper() if self._upper else payload.hex()
            lines.append(
                f"{self._clock}.{fraction_us // 1000:03} {self._tag} #{self.number:5} {self._note(arbitration_id)}"
                f"ID={arbitration_id:{width}} DLC={len(payload)} DATA={text}{end}"
            )
        self.printed += len(lines)
        return "".join(lines)

    def skip(self, frames: int) -> None:
        """So many were dropped."""
        self.number += frames

    def begin_anew(self) -> None:
        """Another stream comes: what is left of the last one was cut off."""
        self._decoder = PacketDecoder()
