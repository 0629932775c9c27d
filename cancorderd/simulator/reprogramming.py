"""Script of a reprogramming session from start to end, mistakes included. Pure.

The phases are the ancestor's: identification, trouble codes, preconditions, silence on the bus, security,
erase, download, check, reset, verification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cancorderd.simulator import firmware_image, flash_memory, routines
from cancorderd.simulator.fault_memory import ALL_GROUPS
from cancorderd.simulator.narration import Narration
from cancorderd.simulator.security_access import DELAY_S, SEED_LENGTH
from cancorderd.simulator.tester_script import (
    AttemptsExhausted,
    KeepAlive,
    NegativeResponse,
    NoAnswer,
    Pause,
    Script,
    ScriptFailure,
    ScriptStep,
    ask,
    try_request,
)
from cancorderd.simulator.uds import SECURITY_LEVEL, DiagnosticSession, Did, Nrc, Routine, Sid, key_for

if TYPE_CHECKING:
    import random
    from collections.abc import Generator

    from cancorderd.simulator.vehicle import Vehicle

MAX_CHECKS = 30
"""Most checks of the preconditions, about half a second apart."""
MAX_KEYS = 8
MAX_BLOCK_ERRORS = 5
"""Most errors in a row for one block."""
MAX_SUSPENSIONS = 20

IDENTIFICATION = (
    Did.VIN,
    Did.SERIAL_NUMBER,
    Did.SOFTWARE_VERSION,
    Did.HARDWARE_VERSION,
    Did.PART_NUMBER,
)
OPTIONAL_DID = 0xF19E
"""ASAM ODX file identifier: testers request it, but this ECU does not support it."""

BLOCK_S = (0.015, 0.030)
KEY_S = (0.050, 0.100)
WRONG_KEY_S = (0.500, 1.000)
CONDITIONS_S = (0.300, 0.600)
AFTER_RESET_S = (2.1, 2.5)
"""Longer than the ECU takes."""
AFTER_SESSION_S = (5.5, 6.0)
"""Longer than S3."""


@dataclass(frozen=True)
class MistakeRates:
    """Probabilities of the tester's mistakes, each at every opportunity."""

    wrong_key_rate: float
    conditions_rate: float
    """Sessions that begin while the engine is still on."""
    counter_rate: float
    """Blocks sent with a wrong counter first."""
    slip_rate: float
    """Requests that come too early or ask for too much memory."""


class Reprogramming:
    """One session, which downloads `firmware`."""

    def __init__(
        self,
        firmware: bytes,
        mistake_rates: MistakeRates,
        vehicle: Vehicle,
        rng: random.Random,
        narration: Narration | None = None,
    ) -> None:
        self._image = firmware
        self._mistake_rates = mistake_rates
        self._vehicle = vehicle
        self._rng = rng
        self._narration = narration or Narration()

    def script(self) -> Script:
        self._narration.begin_session()
        try:
            yield from self._prepare()
            yield from self._program()
            yield from self._reset()
            yield from self._conclude()
        except ScriptFailure as failure:
            self._narration.outcome(f"given up: {failure}")
            yield from self._give_up()
        else:
            self._narration.outcome("is complete")
        yield KeepAlive(on=False)

    def _prepare(self) -> Script:
        if self._happens(self._mistake_rates.conditions_rate):
            self._narration.injected("the engine is still on (0x22)")
            self._vehicle.idle()
        else:
            self._vehicle.park()
        yield from self._change_session(DiagnosticSession.EXTENDED)
        yield KeepAlive(on=True)
        self._narration.phase("identification")
        yield from self._identify()
        self._narration.phase("trouble codes")
        yield from self._read_faults()
        self._narration.phase("preconditions")
        yield from self._check_preconditions()
        self._narration.phase("silence on the bus")
        yield from ask(bytes([Sid.CONTROL_DTC_SETTING, 0x02]))
        yield from ask(bytes([Sid.COMMUNICATION_CONTROL, 0x03, 0x01]))

    def _program(self) -> Script:
        self._narration.phase("security access")
        yield from self._change_session(DiagnosticSession.PROGRAMMING)
        if self._happens(self._mistake_rates.slip_rate):
            self._narration.injected("data is written before security access (0x33)")
            yield from try_request(self._fingerprint(), Nrc.SECURITY_ACCESS_DENIED)
        yield from self._unlock()
        yield from ask(self._fingerprint())
        self._narration.phase("erasing")
        yield from self._erase()
        yield from self._download()
        self._narration.phase("check")
        result = yield from ask(routines.start(Routine.CHECK_DEPENDENCIES))
        if result[4] != flash_memory.PASSED:
            raise AttemptsExhausted("the ECU does not accept the image")

    def _reset(self) -> Script:
        self._narration.phase("reset")
        yield from ask(bytes([Sid.ECU_RESET, 0x01]))
        yield KeepAlive(on=False)
        yield Pause(AFTER_RESET_S)

    def _conclude(self) -> Script:
        self._narration.phase("verification")
        yield from self._change_session(DiagnosticSession.EXTENDED)
        yield KeepAlive(on=True)
        yield from ask(_read(Did.SOFTWARE_VERSION))
        yield from ask(bytes([Sid.TESTER_PRESENT, 0x00]))
        yield from ask(bytes([Sid.CLEAR_DIAGNOSTIC_INFORMATION]) + ALL_GROUPS.to_bytes(3, "big"))
        yield from self._count_faults()
        yield from ask(bytes([Sid.COMMUNICATION_CONTROL, 0x00, 0x01]))
        yield from ask(bytes([Sid.CONTROL_DTC_SETTING, 0x01]))
        yield from self._change_session(DiagnosticSession.DEFAULT)

    def _give_up(self) -> Script:
        """End the session: by a reset or, if the ECU does not respond, by waiting for its timeout."""
        yield KeepAlive(on=False)
        try:
            yield from self._reset()
        except (NegativeResponse, NoAnswer):
            yield Pause(AFTER_SESSION_S)

    def _change_session(self, session: DiagnosticSession) -> Script:
        yield from ask(bytes([Sid.DIAGNOSTIC_SESSION_CONTROL, session]))

    def _identify(self) -> Script:
        for did in IDENTIFICATION:
            yield from ask(_read(did), after_s=(0.030, 0.080))
        if self._happens(self._mistake_rates.slip_rate):
            self._narration.injected(f"an unknown identifier is read (0x31), 0x{OPTIONAL_DID:04X}")
            yield from try_request(_read(OPTIONAL_DID), Nrc.REQUEST_OUT_OF_RANGE)

    def _read_faults(self) -> Script:
        yield from self._count_faults()
        response = yield from ask(bytes([Sid.READ_DTC_INFORMATION, 0x02, 0xFF]))
        yield from ask(bytes([Sid.READ_DTC_INFORMATION, 0x0A]))
        # Codes that failed since the memory was cleared have a snapshot; request the first snapshot.
        records = [response[i : i + 4] for i in range(3, len(response), 4)]
        failed = [record[:3] for record in records if record[3] & 0x20]
        if failed:
            yield from ask(bytes([Sid.READ_DTC_INFORMATION, 0x04]) + failed[0] + b"\xff")

    def _count_faults(self) -> Script:
        yield from ask(bytes([Sid.READ_DTC_INFORMATION, 0x01, 0x2F]), after_s=(0.030, 0.060))

    def _check_preconditions(self) -> Script:
        check = routines.start(Routine.CHECK_PRECONDITIONS)
        for _ in range(MAX_CHECKS):
            if (yield from try_request(check, Nrc.CONDITIONS_NOT_CORRECT)):
                return
            self._vehicle.park()
            yield Pause(CONDITIONS_S)
        raise AttemptsExhausted("preconditions are not met")

    def _unlock(self) -> Script:
        request, send = (
            bytes([Sid.SECURITY_ACCESS, SECURITY_LEVEL]),
            bytes([Sid.SECURITY_ACCESS, SECURITY_LEVEL + 1]),
        )
        if self._happens(self._mistake_rates.slip_rate):
            self._narration.injected("a key is sent without a seed (0x24)")
            yield from try_request(send + self._rng.randbytes(SEED_LENGTH), Nrc.REQUEST_SEQUENCE_ERROR)
        for _ in range(MAX_KEYS):
            response = yield from try_request(request, Nrc.REQUIRED_TIME_DELAY_NOT_EXPIRED)
            if response is None:
                self._narration.phase("the ECU is locked for a while (0x37)")
                yield Pause((DELAY_S, DELAY_S + 0.5))
                continue
            key = key_for(response[2:])
            if self._happens(self._mistake_rates.wrong_key_rate):
                self._narration.injected("an invalid key is sent (0x35)")
                key = bytes([key[0] ^ self._rng.randint(1, 0xFF)]) + key[1:]
            try:
                yield from ask(send + key, after_s=KEY_S)
            except NegativeResponse as negative:
                if negative.nrc == Nrc.INVALID_KEY:
                    yield Pause(WRONG_KEY_S)
                elif (
                    negative.nrc != Nrc.EXCEEDED_NUMBER_OF_ATTEMPTS
                ):  # after which it asks once more, in vain
                    raise
            else:
                return
        raise AttemptsExhausted("the ECU takes no key")

    def _erase(self) -> Script:
        if self._happens(self._mistake_rates.slip_rate):
            self._narration.injected("erasing beyond the memory (0x31)")
            too_much = flash_memory.region(firmware_image.BASE_ADDRESS, 2 * firmware_image.FLASH_SIZE)
            yield from try_request(routines.start(Routine.ERASE_MEMORY, too_much), Nrc.REQUEST_OUT_OF_RANGE)
        everything = flash_memory.region(firmware_image.BASE_ADDRESS, firmware_image.FLASH_SIZE)
        yield from ask(routines.start(Routine.ERASE_MEMORY, everything))

    def _download(self) -> Script:
        """Download the image. If the ECU suspends the transfer, request a download of the rest."""
        written = 0
        for _ in range(MAX_SUSPENSIONS):
            remaining = flash_memory.region(firmware_image.BASE_ADDRESS + written, len(self._image) - written)
            response = yield from ask(bytes([Sid.REQUEST_DOWNLOAD, flash_memory.NO_CONVERSION]) + remaining)
            block = int.from_bytes(response[2:], "big") - 2
            self._narration.phase(f"download of {-(-(len(self._image) - written) // block)} blocks")
            written += yield from self._transfer(self._image[written:], block)
            if written == len(self._image):
                yield from ask(bytes([Sid.REQUEST_TRANSFER_EXIT]))
                return
        raise AttemptsExhausted("the ECU suspends every transfer")

    def _transfer(self, data: bytes, block: int) -> Generator[ScriptStep, bytes, int]:
        """Send `data` in blocks. Return the number of bytes written before the ECU suspended the transfer."""
        starts = range(0, len(data), block)
        early = self._rng.choice(starts) if self._happens(self._mistake_rates.slip_rate) else 0
        for number, start in enumerate(starts, 1):
            if 0 < early == start:
                self._narration.injected(f"the transfer is ended too early (0x24), before block #{number}")
                yield from try_request(bytes([Sid.REQUEST_TRANSFER_EXIT]), Nrc.REQUEST_SEQUENCE_ERROR)
            if not (yield from self._send_block(number, data[start : start + block])):
                return start
        return len(data)

    def _send_block(self, number: int, data: bytes) -> Generator[ScriptStep, bytes, bool]:
        """Send one block until it is written. Return False if the ECU suspends the transfer."""
        if self._happens(self._mistake_rates.counter_rate):
            ahead = number + self._rng.randint(1, 5)
            self._narration.injected(f"block #{number} has a wrong counter (0x73)")
            yield from try_request(_block(ahead, data), Nrc.WRONG_BLOCK_SEQUENCE_COUNTER)
        for _ in range(MAX_BLOCK_ERRORS):
            try:
                yield from ask(_block(number, data), after_s=BLOCK_S)
            except NegativeResponse as negative:
                if negative.nrc == Nrc.TRANSFER_DATA_SUSPENDED:
                    return False
                if negative.nrc != Nrc.GENERAL_PROGRAMMING_FAILURE:
                    raise
            else:
                return True
        raise AttemptsExhausted("the ECU cannot write a block")

    def _fingerprint(self) -> bytes:
        return _write(Did.FINGERPRINT, b"\x26\x01\x15TESTER")

    def _happens(self, rate: float) -> bool:
        return self._rng.random() < rate


def _read(did: int) -> bytes:
    return bytes([Sid.READ_DATA_BY_IDENTIFIER]) + did.to_bytes(2, "big")


def _write(did: int, value: bytes) -> bytes:
    return bytes([Sid.WRITE_DATA_BY_IDENTIFIER]) + did.to_bytes(2, "big") + value


def _block(number: int, data: bytes) -> bytes:
    """Return a TransferData request: its counter wraps from 0xFF to 0x00 (ISO 14229-1:2013, 14.4.2.2)."""
    return bytes([Sid.TRANSFER_DATA, number % 0x100]) + data
