"""The ECU as a node on the bus: when its application's answers go out (ISO 14229-2:2013). Pure.

An answer that takes longer than P2 is announced with "response pending", again and again until it is there.
After a reset the ECU is deaf for one to two seconds. Times are seconds of simulated time.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.simulator import isotp
from cancorderd.simulator.bus import BusFrame
from cancorderd.simulator.transport import Endpoint, Profile, TransportError
from cancorderd.simulator.uds import Nrc, negative

if TYPE_CHECKING:
    import random

    from cancorderd.simulator.server import Reply, Server

FIRST_PENDING_S = (0.020, 0.045)
"""Before P2 is over."""
NEXT_PENDING_S = (0.400, 0.700)
"""Well before P2* is over. The ancestor's."""
QUICK_S = 0.045
"""What is done by then is answered without "response pending"."""
RESET_S = (1.0, 2.0)
RETRY_S = 0.001

BLOCK_SIZE = 8
ST_MIN_MS = 5


class Addresses(NamedTuple):
    """Arbitration ids of diagnosis, and the flags that all its frames have."""

    tester: int
    ecu: int
    functional: int
    flags: int


def profile(frame_length: int) -> Profile:
    """How the ECU does ISO-TP: small buffers, a few milliseconds for each frame."""
    return Profile(
        frame_length=frame_length,
        block_size=BLOCK_SIZE,
        st_min=ST_MIN_MS,
        flow_after_s=(0.003, 0.008),
        slack_s=(0.0, 0.003),
    )


@dataclass
class _Job:
    """A request that is worked on."""

    service: int
    reply: Reply
    done_s: float
    pending_s: float
    told: bool = False


class Ecu:
    """Takes requests off the bus and puts answers on it, one after another."""

    def __init__(
        self, server: Server, addresses: Addresses, isotp_profile: Profile, rng: random.Random
    ) -> None:
        self.outbox: list[BusFrame] = []
        self.accepts = frozenset({addresses.tester, addresses.functional})
        self._server = server
        self._addresses = addresses
        self._endpoint = Endpoint(isotp_profile, rng)
        self._profile = isotp_profile
        self._rng = rng
        self._job: _Job | None = None
        self._resetting = False
        self._off_until = math.inf

    @property
    def talking(self) -> bool:
        """Whether it sends its normal messages, besides diagnosis."""
        return not self._off and self._server.talking

    @property
    def _off(self) -> bool:
        return self._off_until < math.inf

    @property
    def due(self) -> float:
        due = min(self._endpoint.due, self._off_until)
        return min(due, self._job.done_s, self._job.pending_s) if self._job else due

    def receive(self, frame: BusFrame, now: float) -> None:
        """A frame that somebody else sent."""
        if self._off:
            return
        if frame.arbitration_id == self._addresses.functional:
            match isotp.parse(frame.data):
                case isotp.Single(payload):  # the only kind that goes to many (ISO 15765-2, 9.2)
                    self._take(payload, now, functional=True)
            return
        with contextlib.suppress(TransportError):  # the tester repeats what was lost
            request = self._endpoint.receive(frame.data, now)
            if request is not None:
                self._take(request, now, functional=False)
        self._collect()

    def sent(self, frame: BusFrame, now: float) -> None:
        """A frame of ours is out."""
        if self._endpoint.sent(frame.data, now) and self._resetting:
            self._reset(now)

    def wake(self, now: float) -> None:
        """Do what is due."""
        if now >= self._off_until:
            self._off_until = math.inf
            self._server.power_on()
        with contextlib.suppress(TransportError):  # the tester repeats what was lost
            self._endpoint.wake(now)
        if self._job is not None:
            self._work(self._job, now)
        self._collect()

    def _take(self, request: bytes, now: float, *, functional: bool) -> None:
        if self._job is not None:
            self._server.rest(now)  # one at a time: what comes before the answer keeps the session, no more
            return
        reply = self._server.request(request, now, functional=functional)
        quick = reply is not None and reply.work_s < QUICK_S
        if reply is None or (quick and not reply.payload and not reply.resets):
            return
        pending_s = math.inf if quick else now + self._rng.uniform(*FIRST_PENDING_S)
        self._job = _Job(request[0], reply, now + reply.work_s, pending_s)

    def _work(self, job: _Job, now: float) -> None:
        if now >= job.done_s:
            self._finish(job, now)
        elif now >= job.pending_s:
            job.pending_s = now + self._rng.uniform(*NEXT_PENDING_S)
            if self._endpoint.idle:
                job.told = True
                self._endpoint.send(negative(job.service, Nrc.RESPONSE_PENDING))

    def _finish(self, job: _Job, now: float) -> None:
        if not self._endpoint.idle:
            job.done_s = now + RETRY_S
            return
        self._job = None
        self._server.rest(now)
        # Who was told to wait is told the end as well (ISO 14229-1:2013, 7.5.3.2).
        payload = job.reply.payload or (job.reply.suppressed if job.told else b"")
        if payload:
            self._resetting = job.reply.resets
            self._endpoint.send(payload)
        elif job.reply.resets:
            self._reset(now)

    def _reset(self, now: float) -> None:
        self._resetting = False
        self._endpoint = Endpoint(self._profile, self._rng)
        self._off_until = now + self._rng.uniform(*RESET_S)

    def _collect(self) -> None:
        addresses = self._addresses
        self.outbox += [BusFrame(addresses.ecu, data, addresses.flags) for data in self._endpoint.outbox]
        self._endpoint.outbox.clear()
