"""What the simulator's tests share: runs by a made-up clock, a passive listener that pairs what it hears.

The listener reassembles with can-isotp; nothing of the simulator's own stack is used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import isotp

from cancorderd.frame import BRS, EXTENDED, FD, Frame
from cancorderd.simulator import Options, Simulation
from cancorderd.wire import PacketDecoder

START_S = 5_000.0
EPOCH_US = 1_700_000_000_000_000


def drive(options: Options, seconds: float, *, step_s: float | None = None) -> list[Frame]:
    """The frames of `seconds` on the caller's clock, with one client; fewer if no more are to come.

    The clock jumps from one `due_s` to the next, or goes on by `step_s`.
    """
    return list(play(options, seconds, step_s=step_s))


def play(options: Options, seconds: float, *, step_s: float | None = None) -> Iterator[Frame]:
    simulation = Simulation(options, START_S)
    simulation.clients(1, START_S)
    now_s = START_S
    while (due_s := simulation.due_s()) is not None:
        now_s = max(now_s, due_s) if step_s is None else now_s + step_s
        if now_s > START_S + seconds:
            return
        batch = simulation.advance(now_s, EPOCH_US + round((now_s - START_S) * 1e6))
        decoder = PacketDecoder()
        decoder.receive(batch.packets)
        frames = list(decoder.frames())
        assert (len(frames), decoder.pending) == (batch.frames, 0)
        yield from frames


def bare(frames: list[Frame]) -> list[tuple[int, int, bytes]]:
    """Frames without their stamps."""
    return [(frame.arbitration_id, frame.flags, frame.data) for frame in frames]


@dataclass
class Message:
    """A whole ISO-TP message, as it was complete."""

    timestamp_us: int
    arbitration_id: int
    payload: bytes
    began_us: int
    """Stamp of its first frame."""


@dataclass
class Exchange:
    """A request, and what came back until the next one."""

    request: Message
    functional: bool
    responses: list[Message] = field(default_factory=list)


class Listener:
    """can-isotp's stack in listen mode, one for each arbitration id of diagnosis."""

    def __init__(self, options: Options) -> None:
        self.addresses = options.addresses
        self.errors: list[Exception] = []
        self._fd = options.fd
        self._began_us: dict[int, int] = {}
        self._inboxes: dict[int, deque[isotp.CanMessage]] = {}
        tester, ecu, functional, _ = options.addresses
        self._stacks = {
            heard: self._stack(heard, other)
            for heard, other in ((tester, ecu), (ecu, tester), (functional, ecu))
        }

    def _stack(self, heard: int, other: int) -> isotp.TransportLayerLogic:
        inbox = self._inboxes[heard] = deque()
        extended = self.addresses.flags & EXTENDED
        mode = isotp.AddressingMode.Normal_29bits if extended else isotp.AddressingMode.Normal_11bits
        return isotp.TransportLayerLogic(
            rxfn=lambda _timeout: inbox.popleft() if inbox else None,
            txfn=lambda message: self.errors.append(AssertionError(f"the listener sends {message}")),
            address=isotp.Address(mode, rxid=heard, txid=other),
            error_handler=self.errors.append,
            params={
                "listen_mode": True,
                "can_fd": self._fd,
                "rx_flowcontrol_timeout": 60_000,
                "rx_consecutive_frame_timeout": 60_000,
            },
        )

    def messages(self, frames: list[Frame]) -> Iterator[Message]:
        for stamp_us, arbitration_id, flags, data in frames:
            if (stack := self._stacks.get(arbitration_id)) is None:
                continue
            if data[0] >> 4 in (0, 1):
                self._began_us[arbitration_id] = stamp_us
            self._inboxes[arbitration_id].append(
                isotp.CanMessage(
                    arbitration_id,
                    data=data,
                    extended_id=bool(flags & EXTENDED),
                    is_fd=bool(flags & FD),
                    bitrate_switch=bool(flags & BRS),
                )
            )
            stack.process(do_tx=False)
            while (payload := stack.recv()) is not None:
                yield Message(stamp_us, arbitration_id, bytes(payload), self._began_us[arbitration_id])

    def exchanges(self, frames: list[Frame]) -> list[Exchange]:
        """Requests with their responses. TesterPresent to all, which wants none, is left out."""
        found: list[Exchange] = []
        for message in self.messages(frames):
            if message.arbitration_id == self.addresses.ecu:
                found[-1].responses.append(message)
            elif message.payload != b"\x3e\x80":
                functional = message.arbitration_id == self.addresses.functional
                found.append(Exchange(message, functional))
        return found
