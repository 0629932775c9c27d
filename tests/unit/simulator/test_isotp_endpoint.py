"""ISO-TP endpoints: two of them on a wire, against scripted frames, and against can-isotp."""

from __future__ import annotations

import itertools
import random
from collections import deque
from types import ModuleType

import isotp as can_isotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.simulator import ecu, isotp_frames, tester
from cancorderd.simulator.isotp_endpoint import MAX_WAITS, TIMEOUT_S, Endpoint, IsotpProfile, TransportError

FRAME_S = 0.0002
MESSAGE = bytes(range(100))


def endpoint(**settings: object) -> Endpoint:
    return Endpoint(IsotpProfile(**settings), random.Random(0))  # type: ignore[arg-type]


class Wire:
    """Wire between two endpoints: each frame takes FRAME_S and is recorded."""

    def __init__(self, left: Endpoint, right: Endpoint) -> None:
        self.ends = (left, right)
        self.now = 0.0
        self.received: list[list[bytes]] = [[], []]
        self.record: list[tuple[float, int, bytes]] = []

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            sending = next((end for end in (0, 1) if self.ends[end].outbox), None)
            if sending is not None:
                self._carry(sending)
                continue
            due = min(end.due for end in self.ends)
            if due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            for end in self.ends:
                end.wake(self.now)

    def _carry(self, sending: int) -> None:
        self.now += FRAME_S
        frame = self.ends[sending].outbox.pop(0)
        self.record.append((self.now, sending, frame))
        self.ends[sending].sent(frame, self.now)
        if message := self.ends[1 - sending].receive(frame, self.now):
            self.received[1 - sending].append(message)

    def kinds(self, sender: int, kind: int) -> list[tuple[float, bytes]]:
        return [(time, frame) for time, end, frame in self.record if end == sender and frame[0] >> 4 == kind]


lengths = st.one_of(
    st.integers(1, 130), st.integers(1, isotp_frames.MAX_MESSAGE), st.just(isotp_frames.MAX_MESSAGE)
)


@given(
    length=lengths,
    frame_length=st.sampled_from([8, 64]),
    block_size=st.integers(0, 255),
    st_min=st.one_of(st.integers(0, 10), st.integers(0xF1, 0xF9)),
    padding=st.integers(0, 255),
    seed=st.integers(0, 9),
)
def test_any_message_arrives(
    *, length: int, frame_length: int, block_size: int, st_min: int, padding: int, seed: int
) -> None:
    message = random.Random(seed).randbytes(length)
    slow = {"flow_after_s": (0.001, 0.01), "slack_s": (0.0, 0.002), "padding": padding}
    receiver = endpoint(frame_length=frame_length, block_size=block_size, st_min=st_min, **slow)
    wire = Wire(endpoint(frame_length=frame_length, **slow), receiver)
    wire.ends[0].send(message)
    wire.run(60)
    assert wire.received == [[], [message]]
    assert wire.ends[0].idle
    consecutives = wire.kinds(0, 2)
    for (before, _), (after, _) in itertools.pairwise(consecutives):
        assert after - before >= isotp_frames.st_min_s(st_min) + FRAME_S - 1e-9
    if consecutives:
        blocks = 1 if block_size == 0 else -(-len(consecutives) // block_size)
        assert len(wire.kinds(1, 3)) == blocks
        assert [frame[0] & 0x0F for _, frame in consecutives] == [
            number % 16 for number in range(1, len(consecutives) + 1)
        ]


def test_messages_pass_in_both_directions() -> None:
    wire = Wire(endpoint(block_size=2), endpoint(st_min=1))
    for message in (MESSAGE, b"\x01", MESSAGE * 3):
        wire.ends[0].send(message)
        wire.run(5)
        wire.ends[1].send(message[::-1])
        wire.run(5)
    assert wire.received[1] == [MESSAGE, b"\x01", MESSAGE * 3]
    assert wire.received[0] == [message[::-1] for message in wire.received[1]]


def sending() -> Endpoint:
    """Return an endpoint that has sent its first frame."""
    sender = endpoint()
    sender.send(MESSAGE)
    sender.sent(sender.outbox.pop(), 0.0)
    return sender


def receiving(**settings: object) -> Endpoint:
    """Return an endpoint that has received a first frame and sent flow control."""
    receiver = endpoint(**settings)
    receiver.receive(isotp_frames.first(MESSAGE, 8), 0.0)
    receiver.wake(receiver.due)
    receiver.outbox.clear()
    return receiver


def test_sender_refuses_a_second_message_before_the_first_is_complete() -> None:
    with pytest.raises(RuntimeError, match="under way"):
        sending().send(b"\x01")


def test_sender_gives_up_if_flow_control_is_missing() -> None:
    sender = sending()
    assert sender.due == TIMEOUT_S
    with pytest.raises(TransportError, match="N_Bs"):
        sender.wake(sender.due)
    assert sender.idle


def test_sender_waits_longer_after_flow_status_wait() -> None:
    sender = sending()
    sender.receive(isotp_frames.flow(isotp_frames.FlowStatus.WAIT), 0.9)
    assert sender.due == pytest.approx(1.9)
    sender.receive(isotp_frames.flow(isotp_frames.FlowStatus.CONTINUE), 1.5)
    sender.wake(sender.due)
    assert sender.outbox == [isotp_frames.consecutive(1, MESSAGE[6:13])]


def test_sender_gives_up_after_too_many_waits() -> None:
    sender = sending()
    for _ in range(MAX_WAITS):
        sender.receive(isotp_frames.flow(isotp_frames.FlowStatus.WAIT), 0.5)
    with pytest.raises(TransportError, match="status 1"):
        sender.receive(isotp_frames.flow(isotp_frames.FlowStatus.WAIT), 0.5)


@pytest.mark.parametrize("status", [2, 3, 15])
def test_sender_gives_up_on_overflow_and_on_reserved_flow_status(status: int) -> None:
    sender = sending()
    with pytest.raises(TransportError, match=f"status {status}"):
        sender.receive(bytes([0x30 | status, 0, 0]), 0.1)
    assert sender.idle


def test_unexpected_flow_control_is_ignored() -> None:
    idle = endpoint()
    assert idle.receive(isotp_frames.flow(isotp_frames.FlowStatus.CONTINUE), 0.0) is None
    assert idle.due == float("inf")


def test_receiver_gives_up_if_frames_are_missing() -> None:
    receiver = receiving()
    assert receiver.receiving
    with pytest.raises(TransportError, match="N_Cr"):
        receiver.wake(receiver.due)
    assert not receiver.receiving


def test_receiver_gives_up_on_a_wrong_sequence_number() -> None:
    receiver = receiving()
    with pytest.raises(TransportError, match="out of turn"):
        receiver.receive(isotp_frames.consecutive(2, b"x"), 0.1)
    assert not receiver.receiving
    assert receiver.receive(isotp_frames.consecutive(3, b"x"), 0.1) is None


@pytest.mark.parametrize("again", [isotp_frames.single(b"new"), isotp_frames.first(b"new" * 9, 8)])
def test_receiver_starts_over_in_the_middle_of_a_message(again: bytes) -> None:
    receiver = receiving()
    message = receiver.receive(again, 0.1)
    assert (message == b"new") is not receiver.receiving


@pytest.mark.parametrize("first", [isotp_frames.first(MESSAGE, 8), bytes.fromhex("10 00 00 00 10 00 01 02")])
def test_receiver_refuses_messages_that_are_too_long(first: bytes) -> None:
    receiver = endpoint(max_message=99)
    receiver.receive(first, 0.0)
    receiver.wake(receiver.due)
    assert receiver.outbox == [isotp_frames.flow(isotp_frames.FlowStatus.OVERFLOW)]
    assert not receiver.receiving
    assert receiver.due == float("inf")


class Stranger:
    """can-isotp as the peer of an endpoint, with its own clock and without gaps between frames."""

    def __init__(self, *, fd: bool, block_size: int) -> None:
        self.inbox: deque[can_isotp.CanMessage] = deque()
        self.outbox: list[bytes] = []
        self.errors: list[Exception] = []
        self.stack = can_isotp.TransportLayerLogic(
            rxfn=lambda _timeout: self.inbox.popleft() if self.inbox else None,
            txfn=lambda message: self.outbox.append(bytes(message.data)),
            address=can_isotp.Address(can_isotp.AddressingMode.Normal_11bits, rxid=0x7E8, txid=0x7E0),
            error_handler=self.errors.append,
            params={
                "stmin": 0,
                "blocksize": block_size,
                "tx_padding": 0xCC,
                "can_fd": fd,
                "tx_data_length": 64 if fd else 8,
                "rx_flowcontrol_timeout": 30_000,
                "rx_consecutive_frame_timeout": 30_000,
            },
        )

    def exchange(self, ours: Endpoint) -> list[bytes]:
        """Carry frames until neither side has any. Return the messages received by `ours`."""
        received, now, quiet = [], 0.0, 0
        while quiet < 3:
            self.stack.process()
            now = min(max(now, ours.due), now + 0.5)
            ours.wake(now)
            quiet = 0 if ours.outbox or self.outbox else quiet + 1
            while ours.outbox:
                frame = ours.outbox.pop(0)
                self.inbox.append(can_isotp.CanMessage(0x7E8, data=frame, is_fd=len(frame) > 8))
                ours.sent(frame, now)
            while self.outbox:
                if message := ours.receive(self.outbox.pop(0), now):
                    received.append(message)
        return received


@pytest.mark.parametrize("fd", [False, True])
@pytest.mark.parametrize("block_size", [0, 1, 8])
@pytest.mark.parametrize("length", [1, 7, 8, 62, 63, 200, 4095])
def test_messages_pass_to_and_from_can_isotp(length: int, block_size: int, fd: bool) -> None:
    message = random.Random(length).randbytes(length)
    stranger = Stranger(fd=fd, block_size=block_size)
    ours = endpoint(frame_length=64 if fd else 8, block_size=block_size)
    ours.send(message)
    stranger.exchange(ours)
    assert bytes(stranger.stack.recv() or b"") == message
    stranger.stack.send(message)
    assert stranger.exchange(ours) == [message]
    assert stranger.errors == []


def test_a_frame_completes_a_message_once() -> None:
    sender = endpoint()
    sender.send(b"\x01")
    frame = sender.outbox.pop()
    assert sender.sent(frame, 0.0)
    assert not sender.sent(frame, 0.0)
    waiting = sending()
    assert not waiting.sent(frame, 0.0), "the first frame waits for flow control"


def test_receiver_waits_a_second_for_each_frame() -> None:
    """N_Cr begins with flow control, and again with every consecutive frame."""
    receiver = endpoint(flow_after_s=(0.005, 0.005))
    receiver.receive(isotp_frames.first(MESSAGE, 8), 10.0)
    assert receiver.due == pytest.approx(10.005)
    receiver.wake(10.005)
    assert receiver.due == pytest.approx(11.005)
    receiver.receive(isotp_frames.consecutive(1, MESSAGE[6:13]), 10.9)
    assert receiver.due == pytest.approx(11.9)
    receiver.wake(11.89)
    assert receiver.receiving


@pytest.mark.parametrize(
    ("longest", "status"), [(100, isotp_frames.FlowStatus.CONTINUE), (99, isotp_frames.FlowStatus.OVERFLOW)]
)
def test_receiver_takes_a_message_of_its_greatest_length(
    longest: int, status: isotp_frames.FlowStatus
) -> None:
    receiver = endpoint(max_message=longest, block_size=3, st_min=7)
    receiver.receive(isotp_frames.first(MESSAGE, 8), 0.0)
    receiver.wake(receiver.due)
    assert receiver.outbox == [isotp_frames.flow(status, 3, 7)]


def test_sender_may_be_told_to_wait_again_after_each_block() -> None:
    sender = sending()
    for _ in range(2):
        for _ in range(MAX_WAITS):
            sender.receive(isotp_frames.flow(isotp_frames.FlowStatus.WAIT), 0.5)
        sender.receive(isotp_frames.flow(isotp_frames.FlowStatus.CONTINUE, 1), 0.5)
        sender.wake(sender.due)
        sender.sent(sender.outbox.pop(), 0.6)
        assert sender.due == pytest.approx(0.6 + TIMEOUT_S)


@pytest.mark.parametrize(
    ("owner", "flow_control"),
    [
        (ecu, isotp_frames.flow(isotp_frames.FlowStatus.CONTINUE, 8, 5)),
        (tester, isotp_frames.flow(isotp_frames.FlowStatus.CONTINUE, 0, 10)),
    ],
    ids=["ecu", "tester"],
)
@pytest.mark.parametrize("frame_length", [8, 64])
def test_ecu_and_tester_take_a_few_milliseconds_for_each_frame(
    owner: ModuleType, flow_control: bytes, frame_length: int
) -> None:
    flow_s, slack_s = [], []
    for seed in range(20):
        wire = Wire(Endpoint(owner.profile(frame_length), random.Random(seed)), endpoint(st_min=20))
        wire.ends[1].send(MESSAGE)
        wire.run(5)
        [(first_s, _)] = wire.kinds(1, 1)
        flow = wire.kinds(0, 3)
        assert {frame for _, frame in flow} == {flow_control}
        flow_s.append(flow[0][0] - FRAME_S - first_s)
        wire.ends[0].send(MESSAGE * 3)
        wire.run(30)
        assert wire.received == [[MESSAGE], [MESSAGE * 3]]
        times = [time for time, _ in wire.kinds(0, 2)]
        slack_s += [after - before - FRAME_S - 0.020 for before, after in itertools.pairwise(times)]
        assert {len(frame) for _, frame in wire.kinds(0, 2)[:-1]} == {frame_length}
    for found, shortest, longest in ((flow_s, 0.003, 0.008), (slack_s, 0.0, 0.003)):
        width = longest - shortest
        assert shortest - 1e-9 <= min(found) < shortest + 0.3 * width
        assert longest - 0.3 * width < max(found) <= longest + 1e-9
