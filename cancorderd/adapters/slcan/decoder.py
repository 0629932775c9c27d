"""The LAWICEL ASCII protocol of serial adapters (CAN232, CANUSB, CANable, USBtin): text to packets. Pure.

A line ends with CR; BEL refuses a command. Frames: t/T data, r/R remote, d/D FD, b/B FD with bit rate switch
(CANable 2). Lower case is followed by 3 hexadecimal digits of id, upper case by 8; then come one digit of DLC, the
payload, and four digits of time stamp if they were requested (Z1). `commands` has the other direction.

Firmware takes liberties with the text: lines end with CR LF or LF, digits stand in groups, NUL bytes fill the gaps. It
is therefore read as a terminal would show it: any line end ends a line, and what leaves no mark is no part of it.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from typing import TYPE_CHECKING

from cancorderd.adapters.device_clock import DeviceClock
from cancorderd.protocol.batch import EMPTY_BATCH, Batch, batch_of
from cancorderd.protocol.frame import BRS, DLC_LENGTHS, EXTENDED, FD, MAX_EXTENDED_ID, MAX_STANDARD_ID
from cancorderd.protocol.internal_packets import remote_packet
from cancorderd.protocol.packets import TIMESTAMP, head

if TYPE_CHECKING:
    from collections.abc import Callable


CR = b"\r"
BEL = b"\a"

_KINDS = {b"t": 0, b"T": EXTENDED, b"d": FD, b"D": FD | EXTENDED, b"b": FD | BRS, b"B": FD | BRS | EXTENDED}
_CLASSIC_LENGTHS = [min(code, 8) for code in range(16)]
"""ISO 11898-1: DLC codes above 8 stand for 8 bytes in a classical frame."""
_LINE_ENDS = bytes.maketrans(b"\n\a", b"\r\r")
_NO_MARK = b"\0 \t\x11\x13\x7f"
"""Bytes that leave no mark on a terminal: NUL, blanks, XON, XOFF, DEL."""
_UNUSUAL = b"\n\a" + _NO_MARK
_ENDS = (CR, b"\v", b"\f")
_MERGED_FRAMES = re.compile(rb"[tTrRdDbB][0-9A-Fa-f]+(?:[tTrR][0-9A-Fa-f]+)+")
_FRAME_LETTER = re.compile(rb"(?<=.)(?=[tTrR])")
"""Where the next frame begins; d, D, b and B are digits, too."""
_ANSWER = re.compile(rb"F[0-9A-Fa-f]{0,4}|[VNv][\w.-]{0,16}")
"""The answer to F, V or N; F alone is its echo."""
_LONGEST_LINE = 1 + 8 + 1 + 2 * 64 + 8
_HELD_DOWN = b"\0" * _LONGEST_LINE
"""The serial line is held down: no firmware fills a gap with as many NUL bytes."""
_STAMP_DIGITS = 4
_WIDE_STAMP_DIGITS = 8
"""A time stamp of 32 bits, whose unit differs from firmware to firmware."""
_STAMP_WRAPS_MS = 60_000
"""LAWICEL CAN232 manual 3.0, command Z: milliseconds of the current minute."""
_COUNTER_WRAPS_MS = 1 << 16
"""Firmware that does not know of the minute counts on to the end of its 16 bits."""
_MOST_HEADS = 8192
"""Ids times lengths of a busy bus. Beyond that the cache starts over, so that noise cannot grow it."""

OVERRUN_FLAGS = 0x01 | 0x08
_WARNING_FLAG = 0x04
_PASSIVE_FLAG = 0x20


class SlcanDecoder:
    """Text in, packets out. Counts malformed lines, and resumes at the next line end."""

    def __init__(self, accepts: Callable[[int, bool], bool] = lambda _id, _extended: True) -> None:
        self.internal = False
        """Whether `decode` also returns remote frames, in `Batch.complete`."""
        self.malformed = 0
        self.remote_frames = 0
        self.unusable_stamps = 0
        """Time stamps that the book does not know: their frames were stamped with the time of arrival."""
        self.refusals = 0
        """BELs: commands that the adapter refused."""
        self.answers: list[bytes] = []
        """Lines that answer a command (V…, N…, F…), until the source removes them."""
        self._accepts = accepts
        self._wraps_ms = _STAMP_WRAPS_MS
        self.clock = DeviceClock(_STAMP_WRAPS_MS * 1000)
        self._rest = b""
        self._held_down = False
        self._heads: dict[bytes, tuple[bytes, int, bool]] = {}

    def decode(self, text: bytes, timestamp_us: int) -> Batch:
        """Return the packets of every frame that `text` completes.

        `timestamp_us` is the time of arrival, the stamp of all frames that carry none of their own. A line that is
        neither a frame nor an answer is counted in `malformed` and skipped.
        """
        arrival_us = self.clock.arrival_us(timestamp_us)
        if not self._rest and len(text) <= _LONGEST_LINE and (single := self._single_frame(text, arrival_us)):
            return single
        arrival = TIMESTAMP.pack(arrival_us)
        without_stamp = False
        heads = self._heads
        packets: list[bytes] = []
        internal: list[int] = []
        lines = self._lines(text)
        for line in lines:
            known = heads.get(line[:5]) or heads.get(line[:10])
            try:
                if known is None:
                    known = self._new_head(line)
                    if known is None:
                        if self.internal and (packet := self._remote_packet(line, arrival_us)):
                            internal.append(len(packets))
                            packets.append(packet)
                            without_stamp = True
                        continue
                beginning, length, accepted = known
                payload = unhexlify(line[5 if line[0] > 0x60 else 10 : length])
                if len(line) == length:
                    stamp = arrival
                    without_stamp = True
                else:
                    if without_stamp:
                        self.clock.hold(arrival_us)
                    stamp = self._adapter_stamp(line[length:], timestamp_us)
                    without_stamp = False
            except ValueError:
                self._take_malformed(line, lines)
                continue
            if accepted:
                packets.append(stamp + beginning + payload)
        if without_stamp:
            self.clock.hold(arrival_us)
        if internal:
            return batch_of(packets, internal)
        return Batch(b"".join(packets), len(packets)) if packets else EMPTY_BATCH

    def _single_frame(self, text: bytes, arrival_us: int) -> Batch | None:
        """Return the batch of one line with a known head and no stamp, as a quiet bus sends it; None for other text."""
        known = self._heads.get(text[:5]) or self._heads.get(text[:10])
        if known is None or len(text) != known[1] + 1 or not text.endswith(CR):
            return None
        beginning, _, accepted = known
        try:
            payload = unhexlify(text[5 if text[0] > 0x60 else 10 : -1])
        except ValueError:
            return None
        self._held_down = False
        self.clock.hold(arrival_us)
        return Batch(TIMESTAMP.pack(arrival_us) + beginning + payload, 1) if accepted else EMPTY_BATCH

    def _lines(self, text: bytes) -> list[bytes]:
        """Return the lines that `text` completes, without those that are empty."""
        if text[:-1].isalnum() and text.endswith(CR) and not self._rest:  # one line, as a quiet bus sends it
            self._held_down = False
            return [text[:-1]]
        if BEL in text:
            self.refusals += text.count(BEL)
        if _HELD_DOWN in text:
            text = self._without_break(text)
        else:
            self._held_down = False
        for byte in _UNUSUAL:  # searching for each is several times faster than translating what needs none
            if byte in text:
                text = text.translate(_LINE_ENDS, _NO_MARK)
                break
        lines = (self._rest + text).split()  # CR, VT and FF are the only white space that is left
        rest = lines.pop() if lines and not text.endswith(_ENDS) else b""
        # An endless line is no frame; neither is its replacement, so the line is counted once, at its end.
        self._rest = rest if len(rest) <= _LONGEST_LINE else b"!"
        return lines

    def _without_break(self, text: bytes) -> bytes:
        """Return the text with a line end where the line was held down, which is counted once, however long it lasts."""
        self.malformed += not self._held_down
        self._held_down = text.endswith(_HELD_DOWN)
        return text.replace(_HELD_DOWN, CR)

    def _take_malformed(self, line: bytes, lines: list[bytes]) -> None:
        """Count a malformed line, or put the frames that have become this line behind it: their line ends are lost."""
        if not _MERGED_FRAMES.fullmatch(line):
            self.malformed += 1
            return
        after = 1 + next(index for index, other in enumerate(lines) if other is line)
        lines[after:after] = _FRAME_LETTER.split(line)

    def _adapter_stamp(self, digits: bytes, timestamp_us: int) -> bytes:
        """Return the time stamp behind a frame, mapped to the epoch, or its arrival if the stamp is not the book's.

        Raises ValueError if the digits are no time stamp: the line is cut, or two lines have become one.
        """
        width = len(digits)
        if width == _STAMP_DIGITS:
            milliseconds = int.from_bytes(unhexlify(digits))
            if milliseconds < self._wraps_ms:
                return TIMESTAMP.pack(self.clock.epoch_us(milliseconds * 1000, timestamp_us))
            self._wraps_ms = _COUNTER_WRAPS_MS
            self.clock.set_modulus(_COUNTER_WRAPS_MS * 1000)
        elif width == _WIDE_STAMP_DIGITS or (0 < width < _STAMP_DIGITS and self.clock.used):
            unhexlify(digits.zfill(_WIDE_STAMP_DIGITS))  # a stamp of another width
        else:
            raise ValueError(digits)
        self.unusable_stamps += 1
        arrival_us = self.clock.arrival_us(timestamp_us)
        self.clock.hold(arrival_us)
        return TIMESTAMP.pack(arrival_us)

    def _new_head(self, line: bytes) -> tuple[bytes, int, bool] | None:
        """Return the common parts of frames that begin like `line`: head of the packet, line length, accepted.

        None if the line is no data frame; it has then been counted or stored. Raises ValueError if it is malformed.
        """
        kind = line[:1]
        flags = _KINDS.get(kind)
        if flags is None:
            self._other_line(kind, line)
            return None
        digits = 8 if flags & EXTENDED else 3
        arbitration_id, code = _id_and_code(line, digits)
        length = (DLC_LENGTHS if flags & FD else _CLASSIC_LENGTHS)[code]
        checked = head(arbitration_id, flags, length)
        if not checked:
            raise ValueError(line)
        accepted = self._accepts(arbitration_id, bool(flags & EXTENDED))
        known = (checked, 2 + digits + 2 * length, accepted)
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[line[: 2 + digits]] = known
        return known

    def _remote_packet(self, line: bytes, timestamp_us: int) -> bytes:
        """Return the packet of a remote frame, stamped with its arrival; empty for any other line."""
        extended = line.startswith(b"R")
        if not line.startswith((b"r", b"R")) or not _is_remote_frame(line):
            return b""
        arbitration_id, code = _id_and_code(line, 8 if extended else 3)
        if not self._accepts(arbitration_id, extended):
            return b""
        return remote_packet(timestamp_us, arbitration_id, code, extended=extended)

    def _other_line(self, kind: bytes, line: bytes) -> None:
        if line in (b"z", b"Z"):
            return  # a command was accepted
        if kind in (b"r", b"R") and _is_remote_frame(line):
            self.remote_frames += 1
        elif _ANSWER.fullmatch(line):
            self.answers = [*self.answers[-7:], line]
        else:
            raise ValueError(line)


def _id_and_code(line: bytes, digits: int) -> tuple[int, int]:
    """Return the arbitration id and the DLC code of a frame. Raises ValueError if they do not exist."""
    arbitration_id = int.from_bytes(unhexlify(line[1 : 1 + digits].zfill(8)))
    if arbitration_id > (MAX_EXTENDED_ID if digits == 8 else MAX_STANDARD_ID):
        raise ValueError(line)
    return arbitration_id, unhexlify(b"0" + line[1 + digits : 2 + digits])[0]


def _is_remote_frame(line: bytes) -> bool:
    """Return whether a line is a remote frame; some firmware sends its buffer's data behind it."""
    digits = 8 if line.startswith(b"R") else 3
    try:
        _, code = _id_and_code(line, digits)
        tail = 2 * len(unhexlify(line[2 + digits :]))
    except ValueError:
        return False
    data = 2 * _CLASSIC_LENGTHS[code]
    stamps = (0, _STAMP_DIGITS, _WIDE_STAMP_DIGITS)
    return tail in (*stamps, *(data + stamp for stamp in stamps))


def controller_state(flags: int) -> str:
    """Return the controller state in the flags of an F answer (LAWICEL CAN232 manual 3.0, command F)."""
    if flags & _PASSIVE_FLAG:
        return "error-passive"
    return "error-warning" if flags & _WARNING_FLAG else "error-active"
