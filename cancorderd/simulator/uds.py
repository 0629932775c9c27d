"""UDS as shared by tester and ECU: services, response codes, sessions, timing. Pure.

Numbers are from ISO 14229-1:2013, timing from ISO 14229-2:2013.
"""

from __future__ import annotations

import enum

POSITIVE = 0x40
"""Added to a request's service id in its positive response (7.4.2)."""
NEGATIVE = 0x7F
"""First byte of a negative response (7.4.3)."""
SUPPRESS = 0x80
"""suppressPosRspMsgIndicationBit of a sub-function: no positive response is wanted (7.4.3.2)."""

P2_S = 0.050
"""Time in which a server begins its response (ISO 14229-2, P2server_max)."""
P2_STAR_S = 5.0
"""The same after "response pending" (P2*server_max)."""
S3_SERVER_S = 5.0
"""Time without a request after which a server returns to the default session."""
S3_CLIENT_S = 2.0
"""Interval of TesterPresent, which keeps a session alive."""

SECURITY_LEVEL = 0x11
"""requestSeed of the level for programming; sendKey is this plus 1. The ancestor's value."""


class Sid(enum.IntEnum):
    """Service ids (clause 8, table 23)."""

    DIAGNOSTIC_SESSION_CONTROL = 0x10
    ECU_RESET = 0x11
    CLEAR_DIAGNOSTIC_INFORMATION = 0x14
    READ_DTC_INFORMATION = 0x19
    READ_DATA_BY_IDENTIFIER = 0x22
    SECURITY_ACCESS = 0x27
    COMMUNICATION_CONTROL = 0x28
    WRITE_DATA_BY_IDENTIFIER = 0x2E
    ROUTINE_CONTROL = 0x31
    REQUEST_DOWNLOAD = 0x34
    TRANSFER_DATA = 0x36
    REQUEST_TRANSFER_EXIT = 0x37
    TESTER_PRESENT = 0x3E
    CONTROL_DTC_SETTING = 0x85


class Nrc(enum.IntEnum):
    """Negative response codes (annex A.1)."""

    SERVICE_NOT_SUPPORTED = 0x11
    SUB_FUNCTION_NOT_SUPPORTED = 0x12
    INCORRECT_LENGTH = 0x13
    RESPONSE_TOO_LONG = 0x14
    BUSY_REPEAT_REQUEST = 0x21
    CONDITIONS_NOT_CORRECT = 0x22
    REQUEST_SEQUENCE_ERROR = 0x24
    REQUEST_OUT_OF_RANGE = 0x31
    SECURITY_ACCESS_DENIED = 0x33
    INVALID_KEY = 0x35
    EXCEEDED_NUMBER_OF_ATTEMPTS = 0x36
    REQUIRED_TIME_DELAY_NOT_EXPIRED = 0x37
    TRANSFER_DATA_SUSPENDED = 0x71
    GENERAL_PROGRAMMING_FAILURE = 0x72
    WRONG_BLOCK_SEQUENCE_COUNTER = 0x73
    RESPONSE_PENDING = 0x78
    SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION = 0x7E
    SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION = 0x7F


class DiagnosticSession(enum.IntEnum):
    """Diagnostic sessions (9.2.2.2, table 25)."""

    DEFAULT = 0x01
    PROGRAMMING = 0x02
    EXTENDED = 0x03


class Routine(enum.IntEnum):
    """Routine identifiers: the first is manufacturer-specific, the others are from annex F.1."""

    CHECK_PRECONDITIONS = 0x0203
    ERASE_MEMORY = 0xFF00
    CHECK_DEPENDENCIES = 0xFF01


class Did(enum.IntEnum):
    """Data identifiers (annex C.1)."""

    FINGERPRINT = 0xF15A
    PART_NUMBER = 0xF187
    SERIAL_NUMBER = 0xF18C
    VIN = 0xF190
    HARDWARE_VERSION = 0xF193
    SOFTWARE_VERSION = 0xF195
    COOLANT_TEMPERATURE = 0xF405
    ENGINE_SPEED = 0xF40C
    VEHICLE_SPEED = 0xF40D


class Refused(Exception):
    """The ECU refuses a request with a negative response code."""

    def __init__(self, nrc: Nrc) -> None:
        super().__init__(nrc.name)
        self.nrc = nrc


def negative(service: int, nrc: Nrc) -> bytes:
    return bytes([NEGATIVE, service, nrc])


def key_for(seed: bytes) -> bytes:
    """Return the key for `seed`: every byte XOR 0xCA, as in the ancestor."""
    return bytes(byte ^ 0xCA for byte in seed)
