"""The tester as a node on the bus: requests, timeouts, repetitions (ISO 14229-2:2013). Pure.

It performs the steps of a script, one exchange at a time. Times are seconds of simulated time.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from cancorderd.simulator import isotp_frames
from cancorderd.simulator.isotp_endpoint import Endpoint, IsotpProfile, TransportError
from cancorderd.simulator.simulated_bus import BusFrame
from cancorderd.simulator.tester_script import (
    KeepAlive,
    NoAnswer,
    Pause,
    Request,
    Script,
    ScriptFailure,
    ScriptStep,
)
from cancorderd.simulator.uds import NEGATIVE, P2_S, P2_STAR_S, POSITIVE, S3_CLIENT_S, SUPPRESS, Nrc, Sid

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from cancorderd.simulator.ecu import Addresses

NETWORK_S = 0.150
"""Time for transmission in both directions, in addition to P2 (delta P2)."""
BUSY_S = (0.100, 0.200)
"""Pause after "busy, repeat request". The ancestor's value."""
MAX_BUSY = 10
MAX_REPEATS = 2
ST_MIN_MS = 10

TESTER_PRESENT = bytes([Sid.TESTER_PRESENT, SUPPRESS])


def profile(frame_length: int) -> IsotpProfile:
    """Return the tester's ISO-TP profile: any message in one block."""
    return IsotpProfile(
        frame_length=frame_length, st_min=ST_MIN_MS, flow_after_s=(0.003, 0.008), slack_s=(0.0, 0.003)
    )


class _State(enum.Enum):
    IDLE = enum.auto()
    PAUSING = enum.auto()
    """Waiting for the next step, or before a request is sent or repeated."""
    SENDING = enum.auto()
    AWAITING = enum.auto()


class Tester:
    """Node that runs a script against the ECU."""

    def __init__(
        self,
        addresses: Addresses,
        isotp_profile: IsotpProfile,
        rng: random.Random,
        before_step: Callable[[float], None],
    ) -> None:
        self.outbox: list[BusFrame] = []
        self.accepts = frozenset({addresses.ecu})
        self._addresses = addresses
        self._profile = isotp_profile
        self._endpoint = Endpoint(isotp_profile, rng)
        self._rng = rng
        self._before_step = before_step
        self._script: Script | None = None
        self._begun = False
        self._state = _State.IDLE
        self._timer = math.inf
        self._keep_alive = math.inf
        self._request: Request | None = None
        self._functional_frame: BusFrame | None = None
        self._busy_count = 0
        self._repeat_count = 0

    @property
    def idle(self) -> bool:
        """Whether the script has ended."""
        return self._state is _State.IDLE

    @property
    def due(self) -> float:
        return min(self._timer, self._keep_alive, self._endpoint.due)

    def run(self, script: Script, now: float) -> None:
        """Begin a script, instead of the previous script."""
        self._script, self._begun = script, False
        self._resume(now, b"")

    def receive(self, frame: BusFrame, now: float) -> None:
        """Process a frame that another node sent."""
        try:
            response = self._endpoint.receive(frame.data, now)
        except TransportError:
            return  # the response's timer continues
        if response is not None:
            self._handle_response(response, now)
        self._collect()

    def sent(self, frame: BusFrame, now: float) -> None:
        """Take note that a frame of this node was transmitted."""
        complete = frame is self._functional_frame or self._endpoint.sent(frame.data, now)
        if complete and self._state is _State.SENDING:
            self._state = _State.AWAITING
            self._timer = now + P2_S + NETWORK_S

    def wake(self, now: float) -> None:
        """Do everything that is due."""
        try:
            self._endpoint.wake(now)
        except TransportError:
            if self._state is _State.SENDING:
                self._repeat(now)
        if now >= self._keep_alive:
            self._keep_alive += S3_CLIENT_S
            self._send_to_all(TESTER_PRESENT)
        if now >= self._timer:
            self._timer = math.inf
            self._expire(now)
        self._collect()

    def _expire(self, now: float) -> None:
        match self._state:
            case _State.PAUSING:
                if self._request is None:
                    self._resume(now, b"")
                else:
                    self._transmit(self._request)
            case _State.AWAITING if self._endpoint.receiving:
                self._timer = now + NETWORK_S  # the response has begun: ISO-TP has timeouts for the rest
            case _State.AWAITING:
                self._repeat(now)
            case _State.IDLE | _State.SENDING:
                pass

    def _handle_response(self, response: bytes, now: float) -> None:
        if self._state is not _State.AWAITING or self._request is None:
            return
        service = self._request.payload[0]
        refused = response[0] == NEGATIVE and len(response) == 3 and response[1] == service
        if not refused and response[0] != service + POSITIVE:
            return
        if refused and response[2] == Nrc.RESPONSE_PENDING:
            self._timer = now + P2_STAR_S + NETWORK_S
        elif refused and response[2] == Nrc.BUSY_REPEAT_REQUEST and self._busy_count < MAX_BUSY:
            self._busy_count += 1
            self._pause(now, BUSY_S)
        else:
            self._resume(now, response)

    def _repeat(self, now: float) -> None:
        if self._repeat_count < MAX_REPEATS:
            self._repeat_count += 1
            self._endpoint = Endpoint(self._profile, self._rng)
            self._pause(now, BUSY_S)
        else:
            self._resume(now, NoAnswer("no response"))

    def _resume(self, now: float, outcome: bytes | ScriptFailure) -> None:
        """Continue the script with `outcome` until a step takes time."""
        self._request = None
        self._before_step(now)
        while (step := self._next_step(outcome)) is not None:
            match step:
                case KeepAlive(on):
                    self._keep_alive = now + S3_CLIENT_S if on else math.inf
                    outcome = b""
                case Pause(span_s):
                    self._pause(now, span_s)
                    return
                case Request():
                    self._request = step
                    self._busy_count = self._repeat_count = 0
                    self._pause(now, step.after_s)
                    return
        self._state = _State.IDLE
        self._timer = self._keep_alive = math.inf

    def _next_step(self, outcome: bytes | ScriptFailure) -> ScriptStep | None:
        if self._script is None:
            return None
        try:
            if isinstance(outcome, ScriptFailure):
                return self._script.throw(outcome)
            if self._begun:
                return self._script.send(outcome)
            self._begun = True
            return next(self._script)
        except StopIteration:
            self._script = None
            return None

    def _pause(self, now: float, span_s: tuple[float, float]) -> None:
        self._state = _State.PAUSING
        self._timer = now + self._rng.uniform(*span_s)

    def _transmit(self, request: Request) -> None:
        self._state = _State.SENDING
        if request.functional:
            self._functional_frame = self._send_to_all(request.payload)
        else:
            self._endpoint.send(request.payload)

    def _send_to_all(self, payload: bytes) -> BusFrame:
        frame = BusFrame(self._addresses.functional, isotp_frames.single(payload), self._addresses.flags)
        self.outbox.append(frame)
        return frame

    def _collect(self) -> None:
        addresses = self._addresses
        self.outbox += [BusFrame(addresses.tester, data, addresses.flags) for data in self._endpoint.outbox]
        self._endpoint.outbox.clear()
