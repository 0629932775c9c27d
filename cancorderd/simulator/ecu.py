"""The ECU as a node on the bus: timing of its responses (ISO 14229-2:2013). Pure.

If a response takes longer than P2, "response pending" is sent repeatedly until it is ready. After a reset
the ECU receives nothing for one to two seconds. Times are seconds of simulated time.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.simulator import isotp_frames
from cancorderd.simulator.isotp_endpoint import Endpoint, IsotpProfile, TransportError
from cancorderd.simulator.simulated_bus import BusFrame
from cancorderd.simulator.uds import P2_STAR_S, Nrc, negative

if TYPE_CHECKING:
    import random

    from cancorderd.simulator.uds_server import UdsReply, UdsServer

FIRST_PENDING_S = (0.020, 0.045)
"""Time until the first "response pending": before P2 is over."""
NEXT_PENDING_S = (0.32 * P2_STAR_S, 0.48 * P2_STAR_S)
"""Time until each further "response pending": at least 0.3 P2* (ISO 14229-2:2013) with some reserve, since the last
may have waited for the bus, and well before P2* is over."""
QUICK_S = 0.045
"""Responses that are ready by then need no "response pending"."""
RESET_S = (1.0, 2.0)
RETRY_S = 0.001

BLOCK_SIZE = 8
ST_MIN_MS = 5


class Addresses(NamedTuple):
    """Arbitration ids of the diagnostic frames, and their common flags."""

    tester: int
    ecu: int
    functional: int
    flags: int


def profile(frame_length: int) -> IsotpProfile:
    """Return the ECU's ISO-TP profile: small buffers, a few milliseconds for each frame."""
    return IsotpProfile(
        frame_length=frame_length,
        block_size=BLOCK_SIZE,
        st_min=ST_MIN_MS,
        flow_after_s=(0.003, 0.008),
        slack_s=(0.0, 0.003),
    )


@dataclass
class _Job:
    """A request that is being processed."""

    service: int
    reply: UdsReply
    done_s: float
    pending_s: float
    pending_sent: bool = False


class Ecu:
    """Node that receives requests and sends responses, one after another."""

    def __init__(
        self, server: UdsServer, addresses: Addresses, isotp_profile: IsotpProfile, rng: random.Random
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
    def transmitting(self) -> bool:
        """Whether the ECU sends its normal messages, besides diagnosis."""
        return not self._off and self._server.transmission_enabled

    @property
    def _off(self) -> bool:
        return self._off_until < math.inf

    @property
    def due(self) -> float:
        due = min(self._endpoint.due, self._off_until)
        return min(due, self._job.done_s, self._job.pending_s) if self._job else due

    def receive(self, frame: BusFrame, now: float) -> None:
        """Process a frame that another node sent."""
        if self._off:
            return
        if frame.arbitration_id == self._addresses.functional:
            match isotp_frames.parse(frame.data):
                case isotp_frames.SingleFrame(
                    payload
                ):  # the only kind for functional addressing (ISO 15765-2, 9.2)
                    self._handle_request(payload, now, functional=True)
            return
        with contextlib.suppress(TransportError):  # the tester repeats lost messages
            request = self._endpoint.receive(frame.data, now)
            if request is not None:
                self._handle_request(request, now, functional=False)
        self._collect()

    def sent(self, frame: BusFrame, now: float) -> None:
        """Take note that a frame of this node was transmitted."""
        if self._endpoint.sent(frame.data, now) and self._resetting:
            self._reset(now)

    def wake(self, now: float) -> None:
        """Do everything that is due."""
        if now >= self._off_until:
            self._off_until = math.inf
            self._server.power_on()
        with contextlib.suppress(TransportError):  # the tester repeats lost messages
            self._endpoint.wake(now)
        if self._job is not None:
            self._work(self._job, now)
        self._collect()

    def _handle_request(self, request: bytes, now: float, *, functional: bool) -> None:
        if self._job is not None:
            # One request at a time: a request before the response only keeps the session alive.
            self._server.restart_session_timer(now)
            return
        reply = self._server.reply_to(request, now, functional=functional)
        quick = reply is not None and reply.work_s < QUICK_S
        if reply is None or (quick and not reply.payload and not reply.resets):
            return
        pending_s = math.inf if quick else now + self._rng.uniform(*FIRST_PENDING_S)
        self._job = _Job(request[0], reply, now + reply.work_s, pending_s)

    def _work(self, job: _Job, now: float) -> None:
        if now >= job.done_s:
            self._finish(job, now)
        elif now >= job.pending_s:
            if not self._endpoint.idle:
                job.pending_s = now + RETRY_S
                return
            job.pending_s = now + self._rng.uniform(*NEXT_PENDING_S)
            job.pending_sent = True
            self._endpoint.send(negative(job.service, Nrc.RESPONSE_PENDING))

    def _finish(self, job: _Job, now: float) -> None:
        if not self._endpoint.idle:
            job.done_s = now + RETRY_S
            return
        self._job = None
        self._server.restart_session_timer(now)
        # After "response pending", even a suppressed response is sent (ISO 14229-1:2013, 7.5.3.2).
        payload = job.reply.payload or (job.reply.suppressed if job.pending_sent else b"")
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
