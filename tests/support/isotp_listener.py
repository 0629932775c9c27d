"""Passive listener on ISO-TP: reassembles messages and pairs requests with responses.

It uses can-isotp and nothing of the simulator's own stack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import isotp

from cancorderd.protocol.frame import BRS, EXTENDED, FD, Frame
from cancorderd.simulator.options import Options


@dataclass
class Message:
    """A complete ISO-TP message. `timestamp_us` is that of its last frame."""

    timestamp_us: int
    arbitration_id: int
    payload: bytes
    began_us: int
    """Time stamp of its first frame."""


@dataclass
class Exchange:
    """A request, and the responses before the next request."""

    request: Message
    functional: bool
    responses: list[Message] = field(default_factory=list)


class IsotpListener:
    """can-isotp in listen mode: a stack for each arbitration id of diagnosis."""

    def __init__(self, options: Options) -> None:
        self.addresses = options.addresses
        self.errors: list[Exception] = []
        self._fd = options.fd
        self._began_us: dict[int, int] = {}
        self._inboxes: dict[int, deque[isotp.CanMessage]] = {}
        tester, ecu, functional, _ = options.addresses
        self._stacks = {
            sender: self._stack(sender, peer)
            for sender, peer in ((tester, ecu), (ecu, tester), (functional, ecu))
        }

    def _stack(self, sender: int, peer: int) -> isotp.TransportLayerLogic:
        inbox = self._inboxes[sender] = deque()
        extended = self.addresses.flags & EXTENDED
        mode = isotp.AddressingMode.Normal_29bits if extended else isotp.AddressingMode.Normal_11bits
        return isotp.TransportLayerLogic(
            rxfn=lambda _timeout: inbox.popleft() if inbox else None,
            txfn=lambda message: self.errors.append(AssertionError(f"the listener sends {message}")),
            address=isotp.Address(mode, rxid=sender, txid=peer),
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
        """Return requests with their responses, without TesterPresent to all ECUs, which has no response."""
        found: list[Exchange] = []
        for message in self.messages(frames):
            if message.arbitration_id == self.addresses.ecu:
                found[-1].responses.append(message)
            elif message.payload != b"\x3e\x80":
                functional = message.arbitration_id == self.addresses.functional
                found.append(Exchange(message, functional))
        return found
