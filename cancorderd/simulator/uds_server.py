"""The ECU's UDS server: checks of requests, and the responses (ISO 14229-1:2013). Pure.

`SERVICE_RULES` lists for each service its sessions, sub-functions and duration; requests are checked in the
order of figures 5 and 6. Flash memory, fault memory and security are modules of their own. The timing of
responses, and "response pending", are in `ecu`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.simulator import data_identifiers, routines
from cancorderd.simulator.narration import Narration
from cancorderd.simulator.obd import Obd
from cancorderd.simulator.routines import Routines
from cancorderd.simulator.security_access import SecurityAccess
from cancorderd.simulator.uds import (
    P2_S,
    P2_STAR_S,
    POSITIVE,
    S3_SERVER_S,
    SECURITY_LEVEL,
    SUPPRESS,
    DiagnosticSession,
    Nrc,
    Refused,
    Sid,
    negative,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from cancorderd.simulator.fault_memory import FaultMemory
    from cancorderd.simulator.flash_memory import FlashMemory
    from cancorderd.simulator.vehicle import Vehicle

Span = tuple[float, float]

NORMAL_S: Span = (0.010, 0.045)
OBD_S: Span = (0.005, 0.025)
SEED_S: Span = (0.100, 0.300)
CLEAR_S: Span = (0.250, 0.550)
BLOCK_S: Span = (0.010, 0.025)
SLOW_BLOCK_S: Span = (0.100, 0.200)
SLOW_BLOCKS = 0.05
"""Share of blocks that take longer, and so need "response pending"."""

UNANSWERED = frozenset(
    {
        Nrc.SERVICE_NOT_SUPPORTED,
        Nrc.SUB_FUNCTION_NOT_SUPPORTED,
        Nrc.REQUEST_OUT_OF_RANGE,
        Nrc.SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION,
        Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION,
    }
)
"""Codes that are not sent after a functional request: another ECU may support it (7.5.3.3)."""

ANY = frozenset(DiagnosticSession)
DIAGNOSTIC = frozenset({DiagnosticSession.EXTENDED, DiagnosticSession.PROGRAMMING})
PROGRAMMING = frozenset({DiagnosticSession.PROGRAMMING})


class UdsReply(NamedTuple):
    """Response to a request. If `payload` is empty there is none, except after "response pending"."""

    payload: bytes
    work_s: float
    suppressed: bytes = b""
    """Positive response that the request asked to suppress."""
    resets: bool = False


class ServiceRule(NamedTuple):
    """Availability and duration of a service. `sub_functions` is None if the service has none."""

    handle: Callable[[UdsServer, bytes, float], bytes]
    sessions: frozenset[DiagnosticSession] = ANY
    sub_functions: Mapping[int, frozenset[DiagnosticSession]] | None = None
    work_s: Span = NORMAL_S


class UdsServer:
    """Diagnostic state of the ECU."""

    def __init__(
        self,
        rng: random.Random,
        vehicle: Vehicle,
        faults: FaultMemory,
        flash: FlashMemory,
        busy_rate: float = 0.0,
        *,
        narration: Narration | None = None,
    ) -> None:
        self.session = DiagnosticSession.DEFAULT
        self.transmission_enabled = True
        """Whether the ECU sends its normal messages: CommunicationControl (9.5)."""
        self._rng = rng
        self._vehicle = vehicle
        self._faults = faults
        self._flash = flash
        self._busy_rate = busy_rate
        self._narration = narration or Narration()
        self._security = SecurityAccess(rng)
        self._identifiers = data_identifiers.DataIdentifiers(vehicle)
        self._obd = Obd(vehicle, faults, data_identifiers.VIN)
        self._routines = Routines(vehicle, flash, self._security)
        self._active_until = math.inf

    def power_on(self) -> None:
        """Start after a reset: default session, everything enabled, flashed software running."""
        self._enter(DiagnosticSession.DEFAULT)
        self._routines.forget()
        if self._flash.version is not None:
            self._identifiers.set_software_version(self._flash.version)

    def restart_session_timer(self, now: float) -> None:
        """Restart S3, after which the ECU returns to the default session (ISO 14229-2)."""
        self._active_until = now + S3_SERVER_S

    def reply_to(self, request: bytes, now: float, *, functional: bool = False) -> UdsReply | None:
        """Return the response to `request`, or None if there is none."""
        self._vehicle.advance(now)
        if self.session is not DiagnosticSession.DEFAULT and now > self._active_until:
            self._enter(DiagnosticSession.DEFAULT)
        self.restart_session_timer(now)
        try:
            return self._answer(request, now, functional=functional)
        except Refused as refused:
            if functional and refused.nrc in UNANSWERED:
                return None
            return UdsReply(negative(request[0], refused.nrc), self._rng.uniform(*NORMAL_S))

    def _answer(self, request: bytes, now: float, *, functional: bool) -> UdsReply | None:
        service = request[0]
        if service < Sid.DIAGNOSTIC_SESSION_CONTROL:
            if self.session is not DiagnosticSession.DEFAULT:
                raise Refused(Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION)
            payload = self._obd.answer(request)
            return UdsReply(payload, self._rng.uniform(*OBD_S)) if payload else None
        rule = SERVICE_RULES.get(service)
        if rule is None:
            raise Refused(Nrc.SERVICE_NOT_SUPPORTED)
        if self.session not in rule.sessions:
            raise Refused(Nrc.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION)
        suppress = False
        if rule.sub_functions is not None:
            request, suppress = self._check_sub_function(request, rule.sub_functions)
        self._refuse_if_busy(service, functional=functional)
        payload = rule.handle(self, request, now)
        work_s = self._rng.uniform(*self._work_span(request, rule))
        resets = service == Sid.ECU_RESET
        return (
            UdsReply(b"", work_s, payload, resets) if suppress else UdsReply(payload, work_s, resets=resets)
        )

    def _check_sub_function(
        self, request: bytes, known: Mapping[int, frozenset[DiagnosticSession]]
    ) -> tuple[bytes, bool]:
        """Return `request` without suppressPosRspMsgIndicationBit, and this bit (figure 6)."""
        if len(request) < 2:
            raise Refused(Nrc.INCORRECT_LENGTH)
        sub_function = request[1] & ~SUPPRESS
        if sub_function not in known:
            raise Refused(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
        if self.session not in known[sub_function]:
            raise Refused(Nrc.SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION)
        return bytes([request[0], sub_function]) + request[2:], bool(request[1] & SUPPRESS)

    def _refuse_if_busy(self, service: int, *, functional: bool) -> None:
        if functional or service in (Sid.TESTER_PRESENT, Sid.TRANSFER_DATA):
            return
        if self._rng.random() < self._busy_rate:
            self._narration.injected(f"the ECU is busy (0x21), service 0x{service:02X}")
            raise Refused(Nrc.BUSY_REPEAT_REQUEST)

    def _work_span(self, request: bytes, rule: ServiceRule) -> Span:
        if request[0] == Sid.ROUTINE_CONTROL:
            return routines.LASTING_S.get(int.from_bytes(request[2:4], "big"), NORMAL_S)
        if request[0] == Sid.TRANSFER_DATA and self._rng.random() < SLOW_BLOCKS:
            return SLOW_BLOCK_S
        return rule.work_s

    def _enter(self, session: DiagnosticSession) -> None:
        self.session = session
        self._security.lock()
        self._flash.abort()
        if session is DiagnosticSession.DEFAULT:
            self.transmission_enabled = True
            self._faults.recording = True

    # Services in the order of their ids. Each returns the positive response, or raises Refused.

    def session_control(self, request: bytes, _now: float) -> bytes:
        _require_length(request, 2)
        session = DiagnosticSession(request[1])
        if session is DiagnosticSession.PROGRAMMING and self._vehicle.engine_on:
            raise Refused(Nrc.CONDITIONS_NOT_CORRECT)
        self._enter(session)
        # P2 in ms, P2* in steps of 10 ms (9.2.3.2, table 29).
        timing = round(P2_S * 1000).to_bytes(2, "big") + round(P2_STAR_S * 100).to_bytes(2, "big")
        return _echo(request) + timing

    def ecu_reset(self, request: bytes, _now: float) -> bytes:
        _require_length(request, 2)
        if not self._vehicle.standing:
            raise Refused(Nrc.CONDITIONS_NOT_CORRECT)
        return _echo(request)

    def clear_faults(self, request: bytes, _now: float) -> bytes:
        _require_length(request, 4)
        self._faults.clear(int.from_bytes(request[1:], "big"))
        return bytes([Sid.CLEAR_DIAGNOSTIC_INFORMATION + POSITIVE])

    def read_faults(self, request: bytes, _now: float) -> bytes:
        return self._faults.read(request)

    def read_data(self, request: bytes, _now: float) -> bytes:
        return self._identifiers.read(request)

    def security_access(self, request: bytes, now: float) -> bytes:
        return self._security.access(request, now)

    def communication_control(self, request: bytes, _now: float) -> bytes:
        _require_length(request, 3)
        if request[2] not in (1, 2, 3):  # normal messages, network management, both (annex B.1)
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        if request[2] & 1:
            self.transmission_enabled = request[1] in (0x00, 0x02)  # 1 and 3 disable transmission
        return _echo(request)

    def write_data(self, request: bytes, _now: float) -> bytes:
        self._identifiers.check_write(request)
        self._security.require_unlocked()
        return self._identifiers.write(request)

    def routine_control(self, request: bytes, _now: float) -> bytes:
        return self._routines.control(request, self.session)

    def request_download(self, request: bytes, _now: float) -> bytes:
        self._security.require_unlocked()
        return self._flash.request_download(request)

    def transfer_data(self, request: bytes, _now: float) -> bytes:
        return self._flash.transfer(request)

    def transfer_exit(self, request: bytes, _now: float) -> bytes:
        return self._flash.exit(request)

    def tester_present(self, request: bytes, _now: float) -> bytes:
        _require_length(request, 2)
        return _echo(request)

    def dtc_setting(self, request: bytes, _now: float) -> bytes:
        _require_length(request, 2)
        self._faults.recording = request[1] == 1
        return _echo(request)


def _require_length(request: bytes, length: int) -> None:
    if len(request) != length:
        raise Refused(Nrc.INCORRECT_LENGTH)


def _echo(request: bytes) -> bytes:
    """Return service id and sub-function, with which most positive responses begin."""
    return bytes([request[0] + POSITIVE, request[1]])


def _in_sessions(
    *sub_functions: int, sessions: frozenset[DiagnosticSession] = ANY
) -> dict[int, frozenset[DiagnosticSession]]:
    return dict.fromkeys(sub_functions, sessions)


SERVICE_RULES: dict[int, ServiceRule] = {
    Sid.DIAGNOSTIC_SESSION_CONTROL: ServiceRule(
        UdsServer.session_control,
        # The programming session is entered from the extended session only.
        sub_functions=_in_sessions(DiagnosticSession.DEFAULT, DiagnosticSession.EXTENDED)
        | {DiagnosticSession.PROGRAMMING: DIAGNOSTIC},
    ),
    Sid.ECU_RESET: ServiceRule(UdsServer.ecu_reset, sub_functions=_in_sessions(0x01, 0x03)),
    Sid.CLEAR_DIAGNOSTIC_INFORMATION: ServiceRule(UdsServer.clear_faults, work_s=CLEAR_S),
    Sid.READ_DTC_INFORMATION: ServiceRule(
        UdsServer.read_faults, sub_functions=_in_sessions(0x01, 0x02, 0x04, 0x0A)
    ),
    Sid.READ_DATA_BY_IDENTIFIER: ServiceRule(UdsServer.read_data),
    Sid.SECURITY_ACCESS: ServiceRule(
        UdsServer.security_access,
        DIAGNOSTIC,
        _in_sessions(SECURITY_LEVEL, SECURITY_LEVEL + 1, sessions=PROGRAMMING),
        SEED_S,
    ),
    Sid.COMMUNICATION_CONTROL: ServiceRule(
        UdsServer.communication_control, DIAGNOSTIC, _in_sessions(0, 1, 2, 3)
    ),
    Sid.WRITE_DATA_BY_IDENTIFIER: ServiceRule(UdsServer.write_data, DIAGNOSTIC),
    Sid.ROUTINE_CONTROL: ServiceRule(UdsServer.routine_control, DIAGNOSTIC, _in_sessions(0x01, 0x03)),
    Sid.REQUEST_DOWNLOAD: ServiceRule(UdsServer.request_download, PROGRAMMING),
    Sid.TRANSFER_DATA: ServiceRule(UdsServer.transfer_data, PROGRAMMING, work_s=BLOCK_S),
    Sid.REQUEST_TRANSFER_EXIT: ServiceRule(UdsServer.transfer_exit, PROGRAMMING),
    Sid.TESTER_PRESENT: ServiceRule(UdsServer.tester_present, sub_functions=_in_sessions(0)),
    Sid.CONTROL_DTC_SETTING: ServiceRule(UdsServer.dtc_setting, DIAGNOSTIC, _in_sessions(1, 2)),
}
