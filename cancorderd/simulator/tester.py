"""The tester as a node on the bus: requests, timeouts, repetitions (ISO 14229-2:2013). Pure.

Does the steps of a script, one exchange at a time. Times are seconds of simulated time.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from cancorderd.simulator import isotp
from cancorderd.simulator.bus import BusFrame
from cancorderd.simulator.script import Ask, Failure, KeepAlive, NoAnswer, Pause, Script, Step
from cancorderd.simulator.transport import Endpoint, Profile, TransportError
from cancorderd.simulator.uds import NEGATIVE, P2_S, P2_STAR_S, POSITIVE, S3_CLIENT_S, SUPPRESS, Nrc, Sid

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from cancorderd.simulator.ecu import Addresses

NETWORK_S = 0.150
"""What the way there and back may take, beyond P2 (delta P2)."""
BUSY_S = (0.100, 0.200)
"""After "busy, repeat request". The ancestor's."""
MAX_BUSY = 10
MAX_REPEATS = 2
ST_MIN_MS = 10

STILL_HERE = bytes([Sid.TESTER_PRESENT, SUPPRESS])


def profile(frame_length: int) -> Profile:
    """How the tester does ISO-TP: room for all, in one block."""
    return Profile(
        frame_length=frame_length, st_min=ST_MIN_MS, flow_after_s=(0.003, 0.008), slack_s=(0.0, 0.003)
    )


class _Phase(enum.Enum):
    IDLE = enum.auto()
    PAUSING = enum.auto()
    """Until the next step, or until the request is (again) sent."""
    SENDING = enum.auto()
    AWAITING = enum.auto()


class Tester:
    """Runs a script against the ECU."""

    def __init__(
        self,
        addresses: Addresses,
        isotp_profile: Profile,
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
        self._phase = _Phase.IDLE
        self._timer = math.inf
        self._keep_alive = math.inf
        self._asked: Ask | None = None
        self._functional_frame: BusFrame | None = None
        self._busy = 0
        self._repeats = 0

    @property
    def idle(self) -> bool:
        """Whether the script has ended."""
        return self._phase is _Phase.IDLE

    @property
    def due(self) -> float:
        return min(self._timer, self._keep_alive, self._endpoint.due)

    def run(self, script: Script, now: float) -> None:
        """Begin a script, in place of the last one."""
        self._script, self._begun = script, False
        self._resume(now, b"")

    def receive(self, frame: BusFrame, now: float) -> None:
        """A frame that somebody else sent."""
        try:
            response = self._endpoint.receive(frame.data, now)
        except TransportError:
            return  # the timer for the response goes on
        if response is not None:
            self._take(response, now)
        self._collect()

    def sent(self, frame: BusFrame, now: float) -> None:
        """A frame of ours is out."""
        out = frame is self._functional_frame or self._endpoint.sent(frame.data, now)
        if out and self._phase is _Phase.SENDING:
            self._phase = _Phase.AWAITING
            self._timer = now + P2_S + NETWORK_S

    def wake(self, now: float) -> None:
        """Do what is due."""
        try:
            self._endpoint.wake(now)
        except TransportError:
            if self._phase is _Phase.SENDING:
                self._repeat(now)
        if now >= self._keep_alive:
            self._keep_alive += S3_CLIENT_S
            self._to_all(STILL_HERE)
        if now >= self._timer:
            self._timer = math.inf
            self._expire(now)
        self._collect()

    def _expire(self, now: float) -> None:
        match self._phase:
            case _Phase.PAUSING:
                if self._asked is None:
                    self._resume(now, b"")
                else:
                    self._transmit(self._asked)
            case _Phase.AWAITING if self._endpoint.receiving:
                self._timer = now + NETWORK_S  # the response has begun: ISO-TP watches over the rest
            case _Phase.AWAITING:
                self._repeat(now)
            case _Phase.IDLE | _Phase.SENDING:
                pass

    def _take(self, response: bytes, now: float) -> None:
        if self._phase is not _Phase.AWAITING or self._asked is None:
            return
        service = self._asked.request[0]
        refused = response[0] == NEGATIVE and len(response) == 3 and response[1] == service
        if not refused and response[0] != service + POSITIVE:
            return
        if refused and response[2] == Nrc.RESPONSE_PENDING:
            self._timer = now + P2_STAR_S + NETWORK_S
        elif refused and response[2] == Nrc.BUSY_REPEAT_REQUEST and self._busy < MAX_BUSY:
            self._busy += 1
            self._pause(now, BUSY_S)
        else:
            self._resume(now, response)

    def _repeat(self, now: float) -> None:
        if self._repeats < MAX_REPEATS:
            self._repeats += 1
            self._endpoint = Endpoint(self._profile, self._rng)
            self._pause(now, BUSY_S)
        else:
            self._resume(now, NoAnswer("no response"))

    def _resume(self, now: float, with_: bytes | Failure) -> None:
        """Go on with the script until it wants something that takes time."""
        self._asked = None
        self._before_step(now)
        while (step := self._next(with_)) is not None:
            match step:
                case KeepAlive(on):
                    self._keep_alive = now + S3_CLIENT_S if on else math.inf
                    with_ = b""
                case Pause(span_s):
                    self._pause(now, span_s)
                    return
                case Ask():
                    self._asked = step
                    self._busy = self._repeats = 0
                    self._pause(now, step.after_s)
                    return
        self._phase = _Phase.IDLE
        self._timer = self._keep_alive = math.inf

    def _next(self, with_: bytes | Failure) -> Step | None:
        if self._script is None:
            return None
        try:
            if isinstance(with_, Failure):
                return self._script.throw(with_)
            if self._begun:
                return self._script.send(with_)
            self._begun = True
            return next(self._script)
        except StopIteration:
            self._script = None
            return None

    def _pause(self, now: float, span_s: tuple[float, float]) -> None:
        self._phase = _Phase.PAUSING
        self._timer = now + self._rng.uniform(*span_s)

    def _transmit(self, ask: Ask) -> None:
        self._phase = _Phase.SENDING
        if ask.functional:
            self._functional_frame = self._to_all(ask.request)
        else:
            self._endpoint.send(ask.request)

    def _to_all(self, request: bytes) -> BusFrame:
        frame = BusFrame(self._addresses.functional, isotp.single(request), self._addresses.flags)
        self.outbox.append(frame)
        return frame

    def _collect(self) -> None:
        addresses = self._addresses
        self.outbox += [BusFrame(addresses.tester, data, addresses.flags) for data in self._endpoint.outbox]
        self._endpoint.outbox.clear()
