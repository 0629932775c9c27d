"""One node's end of an ISO-TP connection: complete messages in and out (ISO 15765-2:2016, clause 9). Pure.

`Sender` splits a message into frames, with the block size and STmin of its peer; `Receiver` reassembles
messages and sends flow control. `Endpoint` combines both. Nothing here touches a bus: the owner transmits
the frames in `outbox`, calls `sent` after each, and calls `wake` when `due` comes. Times are seconds of
simulated time.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cancorderd.simulator import isotp_frames

if TYPE_CHECKING:
    import random

TIMEOUT_S = 1.0
"""N_Bs and N_Cr: timeout for a flow control or consecutive frame (table 21)."""

MAX_WAITS = 16
"""N_WFTmax: most flow control frames with WAIT in a row (9.7)."""


class TransportError(Exception):
    """A message was lost. ISO-TP reports this and does not repeat the message (9.8)."""


@dataclass(frozen=True)
class IsotpProfile:
    """ISO-TP parameters of a node. Pairs are shortest and longest duration, in seconds."""

    frame_length: int = 8
    """Most bytes in a frame that the node sends: 8, or 64 on an FD bus (TX_DL)."""
    padding: int = isotp_frames.PADDING
    block_size: int = 0
    """Consecutive frames between two of its flow control frames. 0: only one flow control frame."""
    st_min: int = 0
    """Least gap between consecutive frames to the node, as an STmin byte."""
    max_message: int = isotp_frames.MAX_MESSAGE
    flow_after_s: tuple[float, float] = (0.0, 0.0)
    """Delay between a first frame, or a full block, and the flow control frame."""
    slack_s: tuple[float, float] = (0.0, 0.0)
    """Delay before each consecutive frame, in addition to STmin."""


class _State(enum.Enum):
    IDLE = enum.auto()
    ON_THE_BUS = enum.auto()
    AWAITING_FLOW = enum.auto()
    PACING = enum.auto()


class Sender:
    """Sender of one message at a time."""

    def __init__(self, profile: IsotpProfile, rng: random.Random) -> None:
        self.due = math.inf
        self._profile = profile
        self._rng = rng
        self._state = _State.IDLE
        self._rest = b""
        self._sequence = 0
        self._block_left: int | None = None
        self._gap_s = 0.0
        self._not_before = 0.0
        self._waits = 0
        self._flow_control_due = False

    @property
    def idle(self) -> bool:
        return self._state is _State.IDLE

    def start(self, message: bytes) -> bytes:
        """Return the frame to send first. Raises RuntimeError unless `idle`."""
        if not self.idle:
            raise RuntimeError("a message is under way")
        self._state = _State.ON_THE_BUS
        if len(message) <= isotp_frames.single_room(self._profile.frame_length):
            self._rest = b""
            return isotp_frames.single(message, self._profile.padding)
        self._rest = message[self._profile.frame_length - 2 :]
        self._sequence = 1
        self._waits = 0
        self._gap_s = 0.0
        self._flow_control_due = True
        return isotp_frames.first(message, self._profile.frame_length)

    def sent(self, now: float) -> bool:
        """Take note that the last frame was transmitted. Return whether this completed the message."""
        if self._state is not _State.ON_THE_BUS:
            return False
        if not self._rest:
            self._stop()
            return True
        self._not_before = now + self._gap_s
        if self._flow_control_due or self._block_left == 0:
            self._state = _State.AWAITING_FLOW
            self.due = now + TIMEOUT_S
        else:
            self._pace(now)
        return False

    def flow(self, frame: isotp_frames.FlowControl, now: float) -> None:
        """Process the peer's flow control. Raises TransportError if it ends the message (9.6.5.3)."""
        if self._state is not _State.AWAITING_FLOW:
            return
        match frame.status:
            case isotp_frames.FlowStatus.CONTINUE:
                self._flow_control_due = False
                self._waits = 0
                self._block_left = frame.block_size or None
                self._gap_s = isotp_frames.st_min_s(frame.st_min)
                self._pace(now)
            case isotp_frames.FlowStatus.WAIT if self._waits < MAX_WAITS:
                self._waits += 1
                self.due = now + TIMEOUT_S
            case status:
                self._stop()
                raise TransportError(f"flow status {status} ended the message")

    def wake(self, now: float) -> bytes | None:
        """Return the next consecutive frame if it is due. Raises TransportError if flow control is missing."""
        if now < self.due:
            return None
        if self._state is _State.AWAITING_FLOW:
            self._stop()
            raise TransportError("no flow control within N_Bs")
        room = self._profile.frame_length - 1
        frame = isotp_frames.consecutive(self._sequence, self._rest[:room], self._profile.padding)
        self._rest = self._rest[room:]
        self._sequence += 1
        if self._block_left is not None:
            self._block_left -= 1
        self._state = _State.ON_THE_BUS
        self.due = math.inf
        return frame

    def _pace(self, now: float) -> None:
        """Schedule the next frame: STmin applies between blocks, too."""
        self._state = _State.PACING
        self.due = max(now, self._not_before) + self._rng.uniform(*self._profile.slack_s)

    def _stop(self) -> None:
        self._state = _State.IDLE
        self._rest = b""
        self.due = math.inf


class Receiver:
    """Receiver of one message at a time."""

    def __init__(self, profile: IsotpProfile, rng: random.Random) -> None:
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
        """Whether a message has begun and is not yet complete."""
        return self._length > 0

    def receive(
        self,
        frame: isotp_frames.SingleFrame | isotp_frames.FirstFrame | isotp_frames.ConsecutiveFrame,
        now: float,
    ) -> bytes | None:
        """Return the message that `frame` completes, if any.

        Raises TransportError if a frame is out of sequence: the message is lost (9.6.4.4). A single or first
        frame in the middle of a message starts over (table 23).
        """
        match frame:
            case isotp_frames.SingleFrame(payload):
                self._stop()
                return payload
            case isotp_frames.FirstFrame(length, payload):
                self._begin(length, payload, now)
                return None
            case isotp_frames.ConsecutiveFrame(sequence, payload):
                return self._continue(sequence, payload, now)

    def wake(self, now: float) -> bytes | None:
        """Return the flow control frame if it is due. Raises TransportError if the peer stopped sending."""
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
            self._reply(isotp_frames.FlowStatus.OVERFLOW, now)
            return
        self._message = payload
        self._length = length
        self._sequence = 1
        self._reply(isotp_frames.FlowStatus.CONTINUE, now)

    def _continue(self, sequence: int, payload: bytes, now: float) -> bytes | None:
        if not self.receiving:
            return None
        if sequence != self._sequence % isotp_frames.SEQUENCE_NUMBERS:
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
                self._reply(isotp_frames.FlowStatus.CONTINUE, now)
        return None

    def _reply(self, status: isotp_frames.FlowStatus, now: float) -> None:
        profile = self._profile
        self._block_left = profile.block_size or None
        self._answer = isotp_frames.flow(status, profile.block_size, profile.st_min, profile.padding)
        self.due = now + self._rng.uniform(*profile.flow_after_s)

    def _stop(self) -> None:
        self._message = b""
        self._length = 0
        self._answer = None
        self.due = math.inf


class Endpoint:
    """Sender and receiver on a pair of arbitration ids."""

    def __init__(self, profile: IsotpProfile, rng: random.Random) -> None:
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
        """Begin to send a message. Raises RuntimeError unless `idle`."""
        self._put(self._sender.start(message))

    def sent(self, data: bytes, now: float) -> bool:
        """Take note that a frame from `outbox` was transmitted. Return whether it completed the message."""
        if data is not self._sender_frame:
            return False  # a flow control frame
        self._sender_frame = None
        return self._sender.sent(now)

    def receive(self, data: bytes, now: float) -> bytes | None:
        """Return the message that a frame to this node completes. Raises TransportError if it is lost."""
        match isotp_frames.parse(data):
            case None:
                return None
            case isotp_frames.FlowControl() as flow:
                self._sender.flow(flow, now)
                return None
            case frame:
                return self._receiver.receive(frame, now)

    def wake(self, now: float) -> None:
        """Do everything that is due. Raises TransportError if a message is lost."""
        if frame := self._receiver.wake(now):
            self.outbox.append(frame)
        if frame := self._sender.wake(now):
            self._put(frame)

    def _put(self, frame: bytes) -> None:
        self._sender_frame = frame
        self.outbox.append(frame)
