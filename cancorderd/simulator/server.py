"""The ECU's application: which request is let through, and what answers it (ISO 14229-1:2013). Pure.

`RULES` says for each service in which sessions and with which sub-functions it is there, and how long it
takes; the checks come in the order of figures 5 and 6. Memory, faults and security are modules of their
own. When an answer goes out, and what goes out while it is worked on, is `ecu`'s business.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.simulator import identity, routines
from cancorderd.simulator.obd import Obd
from cancorderd.simulator.routines import Routines
from cancorderd.simulator.security import Security
from cancorderd.simulator.uds import (
    P2_S,
    P2_STAR_S,
    POSITIVE,
    S3_SERVER_S,
    SECURITY_LEVEL,
    SUPPRESS,
    Nrc,
    Refused,
    Session,
    Sid,
    negative,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from cancorderd.simulator.faults import Faults
    from cancorderd.simulator.programming import Flash
    from cancorderd.simulator.vehicle import Vehicle

Span = tuple[float, float]

NORMAL_S: Span = (0.010, 0.045)
OBD_S: Span = (0.005, 0.025)
SEED_S: Span = (0.100, 0.300)
CLEAR_S: Span = (0.250, 0.550)
BLOCK_S: Span = (0.010, 0.025)
SLOW_BLOCK_S: Span = (0.100, 0.200)
SLOW_BLOCKS = 0.05
"""Share of blocks that take longer, with "response pending"."""

UNANSWERED = frozenset(
    {
        Nrc.SERVICE_NOT_SUPPORTED,
        Nrc.SUB_FUNCTION_NOT_SUPPORTED,
        Nrc.REQUEST_OUT_OF_RANGE,
        Nrc.SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION,
        Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION,
    }
)
"""Not told to a functional request: another ECU may have been meant (7.5.3.3)."""

ANY = frozenset(Session)
DIAGNOSTIC = frozenset({Session.EXTENDED, Session.PROGRAMMING})
PROGRAMMING = frozenset({Session.PROGRAMMING})


class Reply(NamedTuple):
    """What answers a request. An empty payload: nothing does, unless "response pending" was told before."""

    payload: bytes
    work_s: float
    suppressed: bytes = b""
    """The positive response that the request asked not to have."""
    resets: bool = False


class Rule(NamedTuple):
    """Where a service is there. `sub_functions` is None where it has none."""

    handle: Callable[[Server, bytes, float], bytes]
    sessions: frozenset[Session] = ANY
    sub_functions: Mapping[int, frozenset[Session]] | None = None
    work_s: Span = NORMAL_S


class Server:
    """One ECU's state, as far as diagnosis sees it."""

    def __init__(
        self,
        rng: random.Random,
        vehicle: Vehicle,
        faults: Faults,
        flash: Flash,
        busy_rate: float = 0.0,
    ) -> None:
        self.session = Session.DEFAULT
        self.talking = True
        """CommunicationControl: whether the ECU sends its normal messages (9.5)."""
        self._rng = rng
        self._vehicle = vehicle
        self._faults = faults
        self._flash = flash
        self._busy_rate = busy_rate
        self._security = Security(rng)
        self._identity = identity.Identity(vehicle)
        self._obd = Obd(vehicle, faults, identity.VIN)
        self._routines = Routines(vehicle, flash, self._security)
        self._active_until = math.inf

    def power_on(self) -> None:
        """After a reset: the default session, everything enabled, what was flashed running."""
        self._enter(Session.DEFAULT)
        self._routines.forget()
        if self._flash.version is not None:
            self._identity.programmed(self._flash.version)

    def rest(self, now: float) -> None:
        """A request has been answered: S3 begins (ISO 14229-2)."""
        self._active_until = now + S3_SERVER_S

    def request(self, request: bytes, now: float, *, functional: bool = False) -> Reply | None:
        """What answers `request`; None where silence does."""
        self._vehicle.until(now)
        if self.session is not Session.DEFAULT and now > self._active_until:
            self._enter(Session.DEFAULT)
        self.rest(now)
        try:
            return self._answer(request, now, functional=functional)
        except Refused as refused:
            if functional and refused.nrc in UNANSWERED:
                return None
            return Reply(negative(request[0], refused.nrc), self._rng.uniform(*NORMAL_S))

    def _answer(self, request: bytes, now: float, *, functional: bool) -> Reply | None:
        service = request[0]
        if service < Sid.DIAGNOSTIC_SESSION_CONTROL:
            if self.session is not Session.DEFAULT:
                raise Refused(Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION)
            payload = self._obd.answer(request)
            return Reply(payload, self._rng.uniform(*OBD_S)) if payload else None
        rule = RULES.get(service)
        if rule is None:
            raise Refused(Nrc.SERVICE_NOT_SUPPORTED)
        if self.session not in rule.sessions:
            raise Refused(Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION)
        suppress = False
        if rule.sub_functions is not None:
            request, suppress = self._check_sub_function(request, rule.sub_functions)
        self._be_busy(service, functional=functional)
        payload = rule.handle(self, request, now)
        work_s = self._rng.uniform(*self._work(request, rule))
        resets = service == Sid.ECU_RESET
        return Reply(b"", work_s, payload, resets) if suppress else Reply(payload, work_s, resets=resets)

    def _check_sub_function(
        self, request: bytes, known: Mapping[int, frozenset[Session]]
    ) -> tuple[bytes, bool]:
        """`request` without the bit that suppresses the response, and that bit (figure 6)."""
        if len(request) < 2:
            raise Refused(Nrc.INCORRECT_LENGTH)
        sub_function = request[1] & ~SUPPRESS
        if sub_function not in known:
            raise Refused(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
        if self.session not in known[sub_function]:
            raise Refused(Nrc.SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION)
        return bytes([request[0], sub_function]) + request[2:], bool(request[1] & SUPPRESS)

    def _be_busy(self, service: int, *, functional: bool) -> None:
        if functional or service in (Sid.TESTER_PRESENT, Sid.TRANSFER_DATA):
            return
        if self._rng.random() < self._busy_rate:
            raise Refused(Nrc.BUSY_REPEAT_REQUEST)

    def _work(self, request: bytes, rule: Rule) -> Span:
        if request[0] == Sid.ROUTINE_CONTROL:
            return routines.LASTING_S.get(int.from_bytes(request[2:4], "big"), NORMAL_S)
        if request[0] == Sid.TRANSFER_DATA and self._rng.random() < SLOW_BLOCKS:
            return SLOW_BLOCK_S
        return rule.work_s

    def _enter(self, session: Session) -> None:
        self.session = session
        self._security.lock()
        self._flash.abort()
        if session is Session.DEFAULT:
            self.talking = True
            self._faults.recording = True

    # The services, in the order of their ids. Each gives the positive response, or raises Refused.

    def session_control(self, request: bytes, _now: float) -> bytes:
        _demand_length(request, 2)
        session = Session(request[1])
        if session is Session.PROGRAMMING and self._vehicle.engine_on:
            raise Refused(Nrc.CONDITIONS_NOT_CORRECT)
        self._enter(session)
        # P2 in ms, P2* in steps of 10 ms (9.2.3.2, table 29).
        timing = round(P2_S * 1000).to_bytes(2, "big") + round(P2_STAR_S * 100).to_bytes(2, "big")
        return _echo(request) + timing

    def ecu_reset(self, request: bytes, _now: float) -> bytes:
        _demand_length(request, 2)
        if not self._vehicle.standing:
            raise Refused(Nrc.CONDITIONS_NOT_CORRECT)
        return _echo(request)

    def clear_faults(self, request: bytes, _now: float) -> bytes:
        _demand_length(request, 4)
        self._faults.clear(int.from_bytes(request[1:], "big"))
        return bytes([Sid.CLEAR_DIAGNOSTIC_INFORMATION + POSITIVE])

    def read_faults(self, request: bytes, _now: float) -> bytes:
        return self._faults.read(request)

    def read_data(self, request: bytes, _now: float) -> bytes:
        return self._identity.read(request)

    def security_access(self, request: bytes, now: float) -> bytes:
        return self._security.access(request, now)

    def communication_control(self, request: bytes, _now: float) -> bytes:
        _demand_length(request, 3)
        if request[2] not in (1, 2, 3):  # normal messages, network management, both (annex B.1)
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        if request[2] & 1:
            self.talking = request[1] in (0x00, 0x02)  # 1 and 3 disable transmission
        return _echo(request)

    def write_data(self, request: bytes, _now: float) -> bytes:
        self._identity.check_write(request)
        self._security.demand()
        return self._identity.write(request)

    def routine_control(self, request: bytes, _now: float) -> bytes:
        return self._routines.control(request, self.session)

    def request_download(self, request: bytes, _now: float) -> bytes:
        self._security.demand()
        return self._flash.request_download(request)

    def transfer_data(self, request: bytes, _now: float) -> bytes:
        return self._flash.transfer(request)

    def transfer_exit(self, request: bytes, _now: float) -> bytes:
        return self._flash.exit(request)

    def tester_present(self, request: bytes, _now: float) -> bytes:
        _demand_length(request, 2)
        return _echo(request)

    def dtc_setting(self, request: bytes, _now: float) -> bytes:
        _demand_length(request, 2)
        self._faults.recording = request[1] == 1
        return _echo(request)


def _demand_length(request: bytes, length: int) -> None:
    if len(request) != length:
        raise Refused(Nrc.INCORRECT_LENGTH)


def _echo(request: bytes) -> bytes:
    """Service id and sub-function, as most positive responses begin."""
    return bytes([request[0] + POSITIVE, request[1]])


def _everywhere(*sub_functions: int, sessions: frozenset[Session] = ANY) -> dict[int, frozenset[Session]]:
    return dict.fromkeys(sub_functions, sessions)


RULES: dict[int, Rule] = {
    Sid.DIAGNOSTIC_SESSION_CONTROL: Rule(
        Server.session_control,
        # Programming is entered from the extended session only.
        sub_functions=_everywhere(Session.DEFAULT, Session.EXTENDED) | {Session.PROGRAMMING: DIAGNOSTIC},
    ),
    Sid.ECU_RESET: Rule(Server.ecu_reset, sub_functions=_everywhere(0x01, 0x03)),
    Sid.CLEAR_DIAGNOSTIC_INFORMATION: Rule(Server.clear_faults, work_s=CLEAR_S),
    Sid.READ_DTC_INFORMATION: Rule(Server.read_faults, sub_functions=_everywhere(0x01, 0x02, 0x04, 0x0A)),
    Sid.READ_DATA_BY_IDENTIFIER: Rule(Server.read_data),
    Sid.SECURITY_ACCESS: Rule(
        Server.security_access,
        DIAGNOSTIC,
        _everywhere(SECURITY_LEVEL, SECURITY_LEVEL + 1, sessions=PROGRAMMING),
        SEED_S,
    ),
    Sid.COMMUNICATION_CONTROL: Rule(Server.communication_control, DIAGNOSTIC, _everywhere(0, 1, 2, 3)),
    Sid.WRITE_DATA_BY_IDENTIFIER: Rule(Server.write_data, DIAGNOSTIC),
    Sid.ROUTINE_CONTROL: Rule(Server.routine_control, DIAGNOSTIC, _everywhere(0x01, 0x03)),
    Sid.REQUEST_DOWNLOAD: Rule(Server.request_download, PROGRAMMING),
    Sid.TRANSFER_DATA: Rule(Server.transfer_data, PROGRAMMING, work_s=BLOCK_S),
    Sid.REQUEST_TRANSFER_EXIT: Rule(Server.transfer_exit, PROGRAMMING),
    Sid.TESTER_PRESENT: Rule(Server.tester_present, sub_functions=_everywhere(0)),
    Sid.CONTROL_DTC_SETTING: Rule(Server.dtc_setting, DIAGNOSTIC, _everywhere(1, 2)),
}
