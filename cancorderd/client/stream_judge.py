"""Judgement of a stream of test frames: missing, duplicated, reordered and corrupt ones, jitter, round trips. Pure.

Test frames are those of CANcorder's quality test (`protocol.quality_frame`), or numbered frames: eight bytes of number,
big-endian, or fewer in a shorter frame; each further byte is its own position. The sequence of each stream is judged on
its own: a stream is what has the same arbitration id, test id, format and direction. The first sequence number is the
base. With the difference to the last one, modulo the width of the number: 0 is a duplicate, half of the range and more a
reordered frame; above 1, the frames between are missing.

Times are microseconds: the sender's from the frame, the receiver's from the time stamp of its packet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.client.quantiles import Quantiles
from cancorderd.protocol import quality_frame
from cancorderd.protocol.quality_frame import CLASSIC_TICK_US, CLASSIC_TICKS, SEQUENCE_BITS, Corrupt

if TYPE_CHECKING:
    from cancorderd.protocol.frame import Frame

NUMBER_LENGTH = 8
MOST_STREAMS = 4096
"""Streams that are told apart; frames of further ids are ignored."""
MOST_REQUESTS = 1 << 16
"""Requests that wait for their response; a classic frame has no more numbers."""
_MOST_SKIPPED = 1_000_000
"""Largest gap that still looks like lost frames of a numbered stream, not like other data."""

_SENDER_RANGE_US = {False: CLASSIC_TICKS * CLASSIC_TICK_US, True: 1 << 64}


class Stream(NamedTuple):
    """Identity of a stream."""

    arbitration_id: int
    extended: bool
    format: str
    """`classic`, `FD` or `numbered`."""
    test_id: int | None = None
    response: bool = False


@dataclass
class Tally:
    """Frames of a stream, or of all streams together."""

    received: int = 0
    """Valid frames, duplicates and reordered ones included."""
    missing: int = 0
    duplicated: int = 0
    reordered: int = 0

    def add(self, other: Tally) -> None:
        self.received += other.received
        self.missing += other.missing
        self.duplicated += other.duplicated
        self.reordered += other.reordered


@dataclass
class Judgement:
    """The result so far."""

    tally: Tally
    corrupt: int
    jitter: Quantiles
    round_trips: Quantiles
    unanswered: int
    """Requests whose response has not come."""
    streams: dict[Stream, Tally] = field(default_factory=dict)
    complete: bool = True
    """Whether there were frames, in both directions if round trips are judged."""

    @property
    def all_right(self) -> bool:
        tally = self.tally
        return self.complete and not (tally.missing or tally.duplicated or tally.reordered or self.corrupt)


class Judge:
    """Judge of all frames that `observe` gets, in the order of their arrival."""

    def __init__(
        self, arbitration_id: int | None = None, response_id: int | None = None, test_id: int | None = None
    ) -> None:
        """Judge the frames of these ids, in which any other frame is corrupt.

        Without an id: all frames of the quality test or, if there are none, all numbered frames. With `test_id`: only
        those of one test.
        """
        self._ids = {given for given in (arbitration_id, response_id) if given is not None}
        self._request_id = arbitration_id
        self._response_id = response_id
        self._test_id = test_id
        self._quality: dict[Stream, _QualitySequence] = {}
        self._numbered: dict[tuple[int, bool], _NumberedSequence] = {}
        self._damaged = 0
        """Corrupt frames that have the magic."""
        self._quality_frames = 0
        self._numbered_frames = 0
        self._jitter = Quantiles()
        self._round_trips = Quantiles()
        self._requests: dict[tuple[int, int], int] = {}
        self._forgotten = 0
        """Requests that were removed from `_requests`."""

    @property
    def judged(self) -> int:
        """Frames that were judged so far, the corrupt ones included."""
        if self._ids or self._quality_frames or self._damaged:
            other = self._numbered_frames if self._ids else 0
            return self._quality_frames + self._damaged + other
        return self._numbered_frames

    def observe(self, frame: Frame) -> None:
        if self._ids and frame.arbitration_id not in self._ids:
            return
        if quality_frame.has_magic(frame.data):
            self._observe_quality(frame)
        else:
            self._observe_number(frame)

    def judgement(self) -> Judgement:
        tally, corrupt = Tally(), self._damaged
        streams: dict[Stream, Tally] = {stream: sequence.tally for stream, sequence in self._quality.items()}
        quality_ids = {(stream.arbitration_id, stream.extended) for stream in streams}
        for (arbitration_id, extended), sequence in self._numbered.items():
            if (arbitration_id, extended) in quality_ids:
                corrupt += sequence.frames
            elif self._is_numbered(sequence):
                streams[Stream(arbitration_id, extended, "numbered")] = sequence.tally
                corrupt += sequence.corrupt
            elif self._ids:
                corrupt += sequence.frames
        for found in streams.values():
            tally.add(found)
        seen = {stream.arbitration_id for stream in streams}
        return Judgement(
            tally,
            corrupt,
            self._jitter,
            self._round_trips,
            len(self._requests) + self._forgotten,
            streams,
            bool(streams) and self._ids <= seen,
        )

    def _is_numbered(self, sequence: _NumberedSequence) -> bool:
        if self._ids:
            return self._test_id is None and sequence.plausible is not False
        return not self._quality and self._test_id is None and sequence.plausible is True

    def _observe_quality(self, frame: Frame) -> None:
        try:
            content = quality_frame.parse(frame.data, fd=frame.is_fd)
        except Corrupt:
            numbered = self._numbered.get((frame.arbitration_id, frame.is_extended))
            if numbered and numbered.plausible:  # a number can begin like the magic
                self._observe_number(frame)
            else:
                self._damaged += 1
            return
        if self._test_id not in (None, content.test_id):
            return
        answers = self._response_id is not None and frame.arbitration_id == self._response_id
        stream = Stream(
            frame.arbitration_id,
            frame.is_extended,
            "FD" if content.fd else "classic",
            content.test_id,
            content.response or answers,
        )
        sequence = self._quality.get(stream)
        if sequence is None:
            if len(self._quality) == MOST_STREAMS:
                return
            sequence = self._quality[stream] = _QualitySequence(fd=content.fd)
        self._quality_frames += 1
        jitter_us = sequence.step(content.sequence, content.sender_us, frame.timestamp_us)
        if jitter_us is not None:
            self._jitter.add(jitter_us)
        if self._response_id is not None:
            self._pair((content.test_id, content.sequence), frame, answers=answers)

    def _pair(self, key: tuple[int, int], frame: Frame, *, answers: bool) -> None:
        """Find the request of a response, or remember a request."""
        if answers:
            if (sent_us := self._requests.pop(key, None)) is not None:
                self._round_trips.add(max(0, frame.timestamp_us - sent_us))
        elif frame.arbitration_id == self._request_id:
            if len(self._requests) == MOST_REQUESTS and key not in self._requests:
                del self._requests[next(iter(self._requests))]
                self._forgotten += 1
            self._requests[key] = frame.timestamp_us

    def _observe_number(self, frame: Frame) -> None:
        key = (frame.arbitration_id, frame.is_extended)
        sequence = self._numbered.get(key)
        if sequence is None:
            if len(self._numbered) == MOST_STREAMS:
                return
            sequence = self._numbered[key] = _NumberedSequence(len(frame.data))
        before = sequence.frames if self._ids or sequence.plausible else 0
        sequence.step(frame.data)
        self._numbered_frames += (sequence.frames if self._ids or sequence.plausible else 0) - before


class _Sequence:
    """Sequence numbers of `bits`, and the last one."""

    def __init__(self, bits: int) -> None:
        self.tally = Tally()
        self._range = 1 << bits
        self._last: int | None = None

    def advance(self, number: int) -> int:
        """Count a number. Return how far it is ahead of the last one: 0 for the first, and for one not ahead."""
        self.tally.received += 1
        if self._last is None:
            self._last = number
            return 0
        delta = (number - self._last) % self._range
        if delta == 0:
            self.tally.duplicated += 1
            return 0
        if delta >= self._range // 2:
            self.tally.reordered += 1
            return 0
        self.tally.missing += delta - 1
        self._last = number
        return delta


class _QualitySequence(_Sequence):
    """The sequence of frames of the quality test, with their times."""

    def __init__(self, *, fd: bool) -> None:
        super().__init__(SEQUENCE_BITS[fd])
        self._sender_range_us = _SENDER_RANGE_US[fd]
        self._sender_us = 0
        self._receiver_us = 0

    def step(self, number: int, sender_us: int, receiver_us: int) -> int | None:
        """Count a frame. Return its jitter, the difference between the sender's and the receiver's interval."""
        first = self._last is None
        ahead = self.advance(number)
        if not (ahead or first):
            return None
        interval_us = sender_us - self._sender_us - (receiver_us - self._receiver_us)
        self._sender_us, self._receiver_us = sender_us, receiver_us
        if first:
            return None
        wrapped = (
            interval_us % self._sender_range_us
        )  # the sender's time wraps, in classic frames each 65.5 s
        return min(wrapped, self._sender_range_us - wrapped)


class _NumberedSequence(_Sequence):
    """Frames that may be numbered; their steps tell whether they are."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._width = min(length, NUMBER_LENGTH)
        super().__init__(8 * self._width)
        self._rest = bytes(range(self._width, length))
        self._most_skipped = max(1, min(_MOST_SKIPPED, self._range // 4))
        self._likely = self._unlikely = 0
        self.frames = 0
        self.corrupt = 0
        """Frames of another length, or with another rest, than the first promises."""

    @property
    def plausible(self) -> bool | None:
        """Whether most steps are those of numbers; None without a step."""
        return self._likely > self._unlikely if self._likely or self._unlikely else None

    def step(self, data: bytes) -> None:
        self.frames += 1
        if not data or len(data) != self._length or data[self._width :] != self._rest:
            self.corrupt += 1
            return
        before = self.tally.duplicated, self._last
        ahead = self.advance(int.from_bytes(data[: self._width]))
        if before[1] is None or self.tally.duplicated > before[0]:
            return  # says nothing
        if 0 < ahead <= self._most_skipped:
            self._likely += 1
        else:
            self._unlikely += 1
