"""The script of a reprogramming session, start to end, with what goes wrong in between. Pure.

The phases are the ancestor's: identification, trouble codes, preconditions, silence on the bus, security,
erase, download, check, reset, and a look at what came of it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cancorderd.simulator import image, programming, routines
from cancorderd.simulator.dtc import ALL_GROUPS
from cancorderd.simulator.script import (
    Failure,
    GivenUp,
    KeepAlive,
    Negative,
    NoAnswer,
    Pause,
    Script,
    Step,
    ask,
    try_out,
)
from cancorderd.simulator.security import DELAY_S, SEED_LENGTH
from cancorderd.simulator.uds import SECURITY_LEVEL, Did, Nrc, Routine, Session, Sid, key_for

if TYPE_CHECKING:
    import random

    from cancorderd.simulator.vehicle import Vehicle

MAX_CHECKS = 30
"""How often preconditions are asked for, about half a second apart."""
MAX_KEYS = 8
MAX_BLOCK_ERRORS = 5
"""In a row, on one block."""
MAX_SUSPENSIONS = 20

IDENTIFICATION = (
    Did.VIN,
    Did.SERIAL_NUMBER,
    Did.SOFTWARE_VERSION,
    Did.HARDWARE_VERSION,
    Did.PART_NUMBER,
)
OPTIONAL_DID = 0xF19E
"""ASAM ODX file identifier: testers ask for it, this ECU does not have it."""

BLOCK_S = (0.015, 0.030)
KEY_S = (0.050, 0.100)
WRONG_KEY_S = (0.500, 1.000)
CONDITIONS_S = (0.300, 0.600)
AFTER_RESET_S = (2.1, 2.5)
"""Longer than the ECU takes."""
AFTER_SESSION_S = (5.5, 6.0)
"""Longer than S3."""


@dataclass(frozen=True)
class Habits:
    """How often what goes wrong; each the chance at every opportunity."""

    wrong_key_rate: float
    conditions_rate: float
    """Sessions that begin with the engine still on."""
    counter_rate: float
    """Blocks sent with a wrong counter first."""
    slip_rate: float
    """Requests that come too early or ask for too much."""


Steps = Generator[Step, bytes, None]


class Reprogramming:
    """One session. `firmware` is downloaded."""

    def __init__(self, firmware: bytes, habits: Habits, vehicle: Vehicle, rng: random.Random) -> None:
        self._image = firmware
        self._habits = habits
        self._vehicle = vehicle
        self._rng = rng

    def script(self) -> Script:
        try:
            yield from self._prepare()
            yield from self._program()
            yield from self._reset()
            yield from self._conclude()
        except Failure:
            yield from self._give_up()
        yield KeepAlive(on=False)

    def _prepare(self) -> Steps:
        if self._happens(self._habits.conditions_rate):
            self._vehicle.idle()
        else:
            self._vehicle.park()
        yield from self._change_session(Session.EXTENDED)
        yield KeepAlive(on=True)
        yield from self._identify()
        yield from self._read_faults()
        yield from self._check_preconditions()
        yield from ask(bytes([Sid.CONTROL_DTC_SETTING, 0x02]))
        yield from ask(bytes([Sid.COMMUNICATION_CONTROL, 0x03, 0x01]))

    def _program(self) -> Steps:
        yield from self._change_session(Session.PROGRAMMING)
        if self._happens(self._habits.slip_rate):
            yield from try_out(self._fingerprint(), Nrc.SECURITY_ACCESS_DENIED)
        yield from self._unlock()
        yield from ask(self._fingerprint())
        yield from self._erase()
        yield from self._download()
        result = yield from ask(routines.start(Routine.CHECK_DEPENDENCIES))
        if result[4] != programming.PASSED:
            raise GivenUp("the ECU does not accept the image")

    def _reset(self) -> Steps:
        yield from ask(bytes([Sid.ECU_RESET, 0x01]))
        yield KeepAlive(on=False)
        yield Pause(AFTER_RESET_S)

    def _conclude(self) -> Steps:
        yield from self._change_session(Session.EXTENDED)
        yield KeepAlive(on=True)
        yield from ask(_read(Did.SOFTWARE_VERSION))
        yield from ask(bytes([Sid.TESTER_PRESENT, 0x00]))
        yield from ask(bytes([Sid.CLEAR_DIAGNOSTIC_INFORMATION]) + ALL_GROUPS.to_bytes(3, "big"))
        yield from self._count_faults()
        yield from ask(bytes([Sid.COMMUNICATION_CONTROL, 0x00, 0x01]))
        yield from ask(bytes([Sid.CONTROL_DTC_SETTING, 0x01]))
        yield from self._change_session(Session.DEFAULT)

    def _give_up(self) -> Steps:
        """Leave the ECU in peace: by a reset, or, if it does not listen, until its session times out."""
        yield KeepAlive(on=False)
        try:
            yield from self._reset()
        except (Negative, NoAnswer):
            yield Pause(AFTER_SESSION_S)

    def _change_session(self, session: Session) -> Steps:
        yield from ask(bytes([Sid.DIAGNOSTIC_SESSION_CONTROL, session]))

    def _identify(self) -> Steps:
        for did in IDENTIFICATION:
            yield from ask(_read(did), after_s=(0.030, 0.080))
        if self._happens(self._habits.slip_rate):
            yield from try_out(_read(OPTIONAL_DID), Nrc.REQUEST_OUT_OF_RANGE)

    def _read_faults(self) -> Steps:
        yield from self._count_faults()
        found = yield from ask(bytes([Sid.READ_DTC_INFORMATION, 0x02, 0xFF]))
        yield from ask(bytes([Sid.READ_DTC_INFORMATION, 0x0A]))
        # Those that failed since the memory was cleared have a snapshot; the first one's is shown.
        records = [found[at : at + 4] for at in range(3, len(found), 4)]
        failed = [record[:3] for record in records if record[3] & 0x20]
        if failed:
            yield from ask(bytes([Sid.READ_DTC_INFORMATION, 0x04]) + failed[0] + b"\xff")

    def _count_faults(self) -> Steps:
        yield from ask(bytes([Sid.READ_DTC_INFORMATION, 0x01, 0x2F]), after_s=(0.030, 0.060))

    def _check_preconditions(self) -> Steps:
        check = routines.start(Routine.CHECK_PRECONDITIONS)
        for _ in range(MAX_CHECKS):
            if (yield from try_out(check, Nrc.CONDITIONS_NOT_CORRECT)):
                return
            self._vehicle.park()
            yield Pause(CONDITIONS_S)
        raise GivenUp("preconditions are not met")

    def _unlock(self) -> Steps:
        request, send = (
            bytes([Sid.SECURITY_ACCESS, SECURITY_LEVEL]),
            bytes([Sid.SECURITY_ACCESS, SECURITY_LEVEL + 1]),
        )
        if self._happens(self._habits.slip_rate):
            yield from try_out(send + self._rng.randbytes(SEED_LENGTH), Nrc.REQUEST_SEQUENCE_ERROR)
        for _ in range(MAX_KEYS):
            response = yield from try_out(request, Nrc.REQUIRED_TIME_DELAY_NOT_EXPIRED)
            if response is None:
                yield Pause((DELAY_S, DELAY_S + 0.5))
                continue
            key = key_for(response[2:])
            if self._happens(self._habits.wrong_key_rate):
                key = bytes([key[0] ^ self._rng.randint(1, 0xFF)]) + key[1:]
            try:
                yield from ask(send + key, after_s=KEY_S)
            except Negative as negative:
                if negative.nrc == Nrc.INVALID_KEY:
                    yield Pause(WRONG_KEY_S)
                elif (
                    negative.nrc != Nrc.EXCEEDED_NUMBER_OF_ATTEMPTS
                ):  # after which it asks once more, in vain
                    raise
            else:
                return
        raise GivenUp("the ECU takes no key")

    def _erase(self) -> Steps:
        if self._happens(self._habits.slip_rate):
            too_much = programming.region(image.BASE_ADDRESS, 2 * image.FLASH_SIZE)
            yield from try_out(routines.start(Routine.ERASE_MEMORY, too_much), Nrc.REQUEST_OUT_OF_RANGE)
        everything = programming.region(image.BASE_ADDRESS, image.FLASH_SIZE)
        yield from ask(routines.start(Routine.ERASE_MEMORY, everything))

    def _download(self) -> Steps:
        """The image; where the ECU suspends the transfer, the rest is requested anew."""
        written = 0
        for _ in range(MAX_SUSPENSIONS):
            where = programming.region(image.BASE_ADDRESS + written, len(self._image) - written)
            response = yield from ask(bytes([Sid.REQUEST_DOWNLOAD, programming.NO_CONVERSION]) + where)
            block = int.from_bytes(response[2:], "big") - 2
            written += yield from self._transfer(self._image[written:], block)
            if written == len(self._image):
                yield from ask(bytes([Sid.REQUEST_TRANSFER_EXIT]))
                return
        raise GivenUp("the ECU suspends every transfer")

    def _transfer(self, data: bytes, block: int) -> Generator[Step, bytes, int]:
        """Send `data` in blocks. Returns how much of it was written before the ECU suspended the transfer."""
        starts = range(0, len(data), block)
        early = self._rng.choice(starts) if self._happens(self._habits.slip_rate) else 0
        for number, start in enumerate(starts, 1):
            if 0 < early == start:
                yield from try_out(bytes([Sid.REQUEST_TRANSFER_EXIT]), Nrc.REQUEST_SEQUENCE_ERROR)
            if not (yield from self._send_block(number, data[start : start + block])):
                return start
        return len(data)

    def _send_block(self, number: int, data: bytes) -> Generator[Step, bytes, bool]:
        """Send one block until it is written. False: the transfer is suspended."""
        if self._happens(self._habits.counter_rate):
            ahead = number + self._rng.randint(1, 5)
            yield from try_out(_block(ahead, data), Nrc.WRONG_BLOCK_SEQUENCE_COUNTER)
        for _ in range(MAX_BLOCK_ERRORS):
            try:
                yield from ask(_block(number, data), after_s=BLOCK_S)
            except Negative as negative:
                if negative.nrc == Nrc.TRANSFER_DATA_SUSPENDED:
                    return False
                if negative.nrc != Nrc.GENERAL_PROGRAMMING_FAILURE:
                    raise
            else:
                return True
        raise GivenUp("the ECU cannot write a block")

    def _fingerprint(self) -> bytes:
        return _write(Did.FINGERPRINT, b"\x26\x01\x15TESTER")

    def _happens(self, rate: float) -> bool:
        return self._rng.random() < rate


def _read(did: int) -> bytes:
    return bytes([Sid.READ_DATA_BY_IDENTIFIER]) + did.to_bytes(2, "big")


def _write(did: int, value: bytes) -> bytes:
    return bytes([Sid.WRITE_DATA_BY_IDENTIFIER]) + did.to_bytes(2, "big") + value


def _block(number: int, data: bytes) -> bytes:
    """The counter begins at 1 and wraps from 0xFF to 0x00 (ISO 14229-1:2013, 14.4.2.2)."""
    return bytes([Sid.TRANSFER_DATA, number % 0x100]) + data
