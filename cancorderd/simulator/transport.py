"""One node's end of an ISO-TP connection: whole messages in and out (ISO 15765-2:2016, clause 9). Pure.

`Sender` cuts a message into frames and keeps to the block size and STmin that its peer asks for; `Receiver`
puts one together and asks with flow control. `Endpoint` is both. Frames are handed over, never put on a
bus: the owner takes them from `outbox`, tells `sent` when one is out, and calls `wake` when `due` comes.
Times are seconds of simulated time.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cancorderd.simulator import isotp

if TYPE_CHECKING:
    import random

TIMEOUT_S = 1.0
"""N_Bs and N_Cr: how long to wait for a flow control or consecutive frame (table 21)."""

MAX_WAITS = 16
"""N_WFTmax: flow control frames with WAIT in a row before a sender gives up (9.7)."""


class TransportError(Exception):
    """A message was lost on its way; ISO-TP tells its user and does not repeat (9.8)."""


@dataclass(frozen=True)
class Profile:
    """How a node does ISO-TP. Spans are shortest and longest, in seconds."""

    frame_length: int = 8
    """Most bytes in a frame that it sends: 8, or 64 on an FD bus (TX_DL)."""
    padding: int = isotp.PADDING
    block_size: int = 0
    """Consecutive frames between its flow control frames; 0: one is enough."""
    st_min: int = 0
    """Least gap between consecutive frames to it, as the standard's byte."""
    max_message: int = isotp.MAX_MESSAGE
    flow_after_s: tuple[float, float] = (0.0, 0.0)
    """From a first frame, or a full block, to its flow control frame."""
    slack_s: tuple[float, float] = (0.0, 0.0)
    """What it takes beyond STmin before each consecutive frame."""


class _Sending(enum.Enum):
    IDLE = enum.auto()
    ON_THE_BUS = enum.auto()
    AWAITING_FLOW = enum.auto()
    PACING = enum.auto()


class Sender:
    """One message at a time, cut into frames."""

    def __init__(self, profile: Profile, rng: random.Random) -> None:
        self.due = math.inf
        self._profile = profile
        self._rng = rng
        self._state = _Sending.IDLE
        self._rest = b""
        self._sequence = 0
        self._block_left: int | None = None
        self._gap_s = 0.0
        self._not_before = 0.0
        self._waits = 0
        self._asked = False

    @property
    def idle(self) -> bool:
        return self._state is _Sending.IDLE

    def start(self, message: bytes) -> bytes:
        """The frame to send first. Raises RuntimeError while another message is under way."""
        if not self.idle:
            raise RuntimeError("a message is under way")
        self._state = _Sending.ON_THE_BUS
        if len(message) <= isotp.single_room(self._profile.frame_length):
            self._rest = b""
            return isotp.single(message, self._profile.padding)
        self._rest = message[self._profile.frame_length - 2 :]
        self._sequence = 1
        self._waits = 0
        self._gap_s = 0.0
        self._asked = True
        return isotp.first(message, self._profile.frame_length)

    def sent(self, now: float) -> bool:
        """The last frame is out. Says whether the whole message is."""
        if self._state is not _Sending.ON_THE_BUS:
            return False
        if not self._rest:
            self._stop()
            return True
        self._not_before = now + self._gap_s
        if self._asked or self._block_left == 0:
            self._state = _Sending.AWAITING_FLOW
            self.due = now + TIMEOUT_S
        else:
            self._pace(now)
        return False

    def flow(self, frame: isotp.Flow, now: float) -> None:
        """The peer's flow control. Raises TransportError where it ends the message (9.6.5.3)."""
        if self._state is not _Sending.AWAITING_FLOW:
            return
        match frame.status:
            case isotp.FlowStatus.CONTINUE:
                self._asked = False
                self._waits = 0
                self._block_left = frame.block_size or None
                self._gap_s = isotp.st_min_s(frame.st_min)
                self._pace(now)
            case isotp.FlowStatus.WAIT if self._waits < MAX_WAITS:
                self._waits += 1
                self.due = now + TIMEOUT_S
            case status:
                self._stop()
                raise TransportError(f"flow status {status} ended the message")

    def wake(self, now: float) -> bytes | None:
        """The next consecutive frame, once it is due. Raises TransportError when flow control stays out."""
        if now < self.due:
            return None
        if self._state is _Sending.AWAITING_FLOW:
            self._stop()
            raise TransportError("no flow control within N_Bs")
        room = self._profile.frame_length - 1
        frame = isotp.consecutive(self._sequence, self._rest[:room], self._profile.padding)
        self._rest = self._rest[room:]
        self._sequence += 1
        if self._block_left is not None:
            self._block_left -= 1
        self._state = _Sending.ON_THE_BUS
        self.due = math.inf
        return frame

    def _pace(self, now: float) -> None:
        """Wait for the next frame's turn: STmin counts from one block to the next as well."""
        self._state = _Sending.PACING
        self.due = max(now, self._not_before) + self._rng.uniform(*self._profile.slack_s)

    def _stop(self) -> None:
        self._state = _Sending.IDLE
        self._rest = b""
        self.due = math.inf


class Receiver:
    """One message at a time, put together from its frames."""

    def __init__(self, profile: Profile, rng: random.Random) -> None:
        self.due = math.inf
        self._profile = profile
        self._rng = rng
        self._message = b""
        self._length = 0
        self._sequence = 0
        self._block_left: int | None = None
        self._answer: bytes | None = None

    @property
    def receiving(self) -> bool:
        """Whether a message has begun and is not whole yet."""
        return self._length > 0

    def receive(self, frame: isotp.Single | isotp.First | isotp.Consecutive, now: float) -> bytes | None:
        """The message that `frame` completes, if it does.

        Raises TransportError where one is lost: a frame out of sequence (9.6.4.4). A single or first
        frame in the middle of a message starts over (table 23).
        """
        match frame:
            case isotp.Single(payload):
                self._stop()
                return payload
            case isotp.First(length, payload):
                self._begin(length, payload, now)
                return None
            case isotp.Consecutive(sequence, payload):
                return self._continue(sequence, payload, now)

    def wake(self, now: float) -> bytes | None:
        """The flow control frame that is due. Raises TransportError when the peer fell silent."""
        if now < self.due:
            return None
        if self._answer is None:
            self._stop()
            raise TransportError("no consecutive frame within N_Cr")
        answer, self._answer = self._answer, None
        self.due = now + TIMEOUT_S if self.receiving else math.inf
        return answer

    def _begin(self, length: int, payload: bytes, now: float) -> None:
        self._stop()
        if length > self._profile.max_message:
            self._reply(isotp.FlowStatus.OVERFLOW, now)
            return
        self._message = payload
        self._length = length
        self._sequence = 1
        self._reply(isotp.FlowStatus.CONTINUE, now)

    def _continue(self, sequence: int, payload: bytes, now: float) -> bytes | None:
        if not self.receiving:
            return None
        if sequence != self._sequence % isotp.SEQUENCE_NUMBERS:
            self._stop()
            raise TransportError(f"sequence number {sequence} is out of turn")
        self._message += payload
        self._sequence += 1
        if len(self._message) >= self._length:
            message = self._message[: self._length]
            self._stop()
            return message
        self.due = now + TIMEOUT_S
        if self._block_left is not None:
            self._block_left -= 1
            if self._block_left == 0:
                self._reply(isotp.FlowStatus.CONTINUE, now)
        return None

    def _reply(self, status: isotp.FlowStatus, now: float) -> None:
        profile = self._profile
        self._block_left = profile.block_size or None
        self._answer = isotp.flow(status, profile.block_size, profile.st_min, profile.padding)
        self.due = now + self._rng.uniform(*profile.flow_after_s)

    def _stop(self) -> None:
        self._message = b""
        self._length = 0
        self._answer = None
        self.due = math.inf


class Endpoint:
    """A sender and a receiver on one pair of arbitration ids."""

    def __init__(self, profile: Profile, rng: random.Random) -> None:
        self.outbox: list[bytes] = []
        self._sender = Sender(profile, rng)
        self._receiver = Receiver(profile, rng)
        self._sender_frame: bytes | None = None

    @property
    def due(self) -> float:
        return min(self._sender.due, self._receiver.due)

    @property
    def idle(self) -> bool:
        """Whether a message may be sent."""
        return self._sender.idle

    @property
    def receiving(self) -> bool:
        return self._receiver.receiving

    def send(self, message: bytes) -> None:
        """Begin a message. Raises RuntimeError unless `idle`."""
        self._put(self._sender.start(message))

    def sent(self, data: bytes, now: float) -> bool:
        """A frame from `outbox` is out. Says whether it ended the message."""
        if data is not self._sender_frame:
            return False  # a flow control frame
        self._sender_frame = None
        return self._sender.sent(now)

    def receive(self, data: bytes, now: float) -> bytes | None:
        """The message that a frame to this node completes. Raises TransportError where one is lost."""
        match isotp.parse(data):
            case None:
                return None
            case isotp.Flow() as flow:
                self._sender.flow(flow, now)
                return None
            case frame:
                return self._receiver.receive(frame, now)

    def wake(self, now: float) -> None:
        """Do what is due. Raises TransportError where a message is lost."""
        if frame := self._receiver.wake(now):
            self.outbox.append(frame)
        if frame := self._sender.wake(now):
            self._put(frame)

    def _put(self, frame: bytes) -> None:
        self._sender_frame = frame
        self.outbox.append(frame)
