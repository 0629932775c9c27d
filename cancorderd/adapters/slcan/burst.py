"""Bytes that arrive while an adapter is set up, until they are complete: an answer is followed by a pause. Pure.

A stream of frames, or a device that talks all the time, has no pauses: an answer in it counts at once. Times are seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.adapters.slcan.decoder import BEL, CR
from cancorderd.adapters.slcan.replies import lines, read_replies

if TYPE_CHECKING:
    from collections.abc import Collection

    from cancorderd.adapters.slcan.replies import Replies

QUIET_S = 0.05
"""Pause after which an answer is complete: text that follows shows that it was none."""
_LONGEST_ANSWER_S = 0.2
_MOST_BYTES = 1 << 12


class Burst:
    """Bytes since the last pause. `echoes` are the commands that firmware may repeat."""

    def __init__(self, echoes: Collection[bytes], now_s: float) -> None:
        self._echoes = echoes
        self.data = b""
        self.talk = b""
        """Text of a device that talks without a pause, from the last call of `complete`."""
        self._cut_line = b""
        """Begin of a line after which a pause came; its end is no answer."""
        self._began_s = self._ends_s = now_s
        self._has_read = False

    def add(self, data: bytes, now_s: float) -> None:
        if not self.data:
            self._began_s = now_s
        self.data = (self.data + data)[-_MOST_BYTES:]
        self._ends_s = now_s + QUIET_S

    def clear(self) -> None:
        self.data = b""

    def due_s(self, deadline_s: float) -> float:
        """Return when to look again, if nothing arrives before; `deadline_s` waits for an answer that may be arriving."""
        if not self.data:
            return deadline_s
        return min(max(deadline_s, self._began_s + _LONGEST_ANSWER_S), self._ends_s)

    def may_be_answer(self, now_s: float) -> bool:
        """Return whether an answer may just be arriving. A stream has no pauses and is none."""
        return bool(self.data) and not self._is_long(now_s)

    def complete(self, now_s: float) -> Replies | None:
        """Return the bytes that have arrived, as soon as they are complete."""
        self.talk = b""
        replies = self._after_pause() if now_s >= self._ends_s else self._in_stream(now_s)
        self._has_read = self._has_read or replies is not None
        return replies

    def _after_pause(self) -> Replies:
        data, self.data = self._cut_line + self.data, b""
        *_, last = lines(data)
        is_cut = bool(last.text) and not last.end and last.text not in self._echoes
        self._cut_line = last.text[-_MOST_BYTES:] if is_cut else b""
        return self._read(data)

    def _in_stream(self, now_s: float) -> Replies | None:
        """Return the whole lines if they are a stream with an answer in it, or frames alone for long."""
        *_, last = lines(self.data)
        begin = len(self.data)
        if not last.end:
            begin = max(self.data.rfind(end) for end in (CR, b"\n", BEL)) + 1
        replies = self._read(self.data[:begin])
        if not (replies.frames and (replies.answers or self._is_long(now_s))):
            if self._is_long(now_s):
                self.talk = replies.text
            return None
        self.data = self.data[begin:]
        self._began_s = now_s - _LONGEST_ANSWER_S
        return replies

    def _is_long(self, now_s: float) -> bool:
        return now_s >= self._began_s + _LONGEST_ANSWER_S

    def _read(self, data: bytes) -> Replies:
        return read_replies(data, self._echoes, first=not self._has_read)
