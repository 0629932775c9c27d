"""CAN API V3, the C interface of UV Software's driver libraries (can_api.h, CANAPI_Types.h), by ctypes.

Sizes, codes and calls; `source` translates them for a bus. Only loading raises: every call returns the library's
code, which is 0 or above on success.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import c_char_p, c_int, c_int32, c_uint8, c_uint16, c_uint32, c_void_p
from struct import Struct
from typing import TYPE_CHECKING, Any

from cancorderd.adapters.failures import SettingsRefused
from cancorderd.printable import error_text

if TYPE_CHECKING:
    from cancorderd.adapters.bit_timing import Timing

MESSAGE = Struct("@IBB64sll")
"""can_message_t: id, flags, DLC code, data, struct timespec."""
BITRATE = Struct("@i4HBx4H0i")
"""can_bitrate_t: index or clock in Hz; nominal brp, tseg1, tseg2, sjw, sam; data brp, tseg1, tseg2, sjw."""
_MESSAGE_BYTES = 88
_BITRATE_BYTES = 24

# Mode bits
FDOE, BRSE, ERR, MON = 0x80, 0x40, 0x02, 0x01
# Flags of a message
XTD, RTR, FDF, BRS, ESI, STS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x80
# Status bits
STOPPED, BUS_OFF, WARNING, BUS_ERROR, MESSAGE_LOST, QUEUE_OVERRUN = 0x80, 0x40, 0x20, 0x10, 0x02, 0x01
# States that can_test reports
ABSENT, PRESENT, OCCUPIED, NOT_TESTABLE = -1, 0, 1, -2

E_BUS_OFF = -1
E_OFFLINE = -9
E_MESSAGE_LOST = -10
E_TX_BUSY = -20
E_RX_EMPTY = -30
E_QUEUE_OVERRUN = -40
E_TIMEOUT = -50
E_RESOURCE = -90
E_BAUDRATE = -91
E_HANDLE = -92
E_PARAMETER = -93
E_NOT_INITIALISED = -95
E_INITIALISED_ALREADY = -96
E_NOT_SUPPORTED = -98
_E_VENDOR = -100
_E_ERRNO = -10_000

BUS_ERRORS = frozenset({-2, -3, *range(-19, -10)})
"""Codes by which can_read reports errors of the bus: warning, bus error, last error codes, error frame."""

_MEANINGS = {
    E_BUS_OFF: "bus-off",
    -2: "error warning",
    -3: "bus error",
    -8: "started already",
    E_OFFLINE: "not started",
    E_MESSAGE_LOST: "message lost",
    E_TX_BUSY: "busy",
    E_QUEUE_OVERRUN: "queue overrun",
    E_TIMEOUT: "time-out",
    E_RESOURCE: "device does not answer",
    E_BAUDRATE: "bit rate not possible",
    E_HANDLE: "device not there",
    E_PARAMETER: "parameter not possible",
    E_NOT_INITIALISED: "not initialised",
    E_INITIALISED_ALREADY: "in use already",
    -97: "wrong library",
    E_NOT_SUPPORTED: "not supported",
    -99: "fatal error",
}

# Properties (CANPROP_GET_...)
P_SPECIFICATION = 0
P_BITRATE = 17
P_CLOCK = 23
P_QUEUE_OVERRUNS = 29

BITRATE_INDEXES = {
    1_000_000: 0,
    500_000: -2,
    250_000: -3,
    125_000: -4,
    100_000: -5,
    50_000: -6,
    20_000: -7,
    10_000: -8,
}
"""CiA's bit rates (CANBTR_INDEX_...) without 800,000, which TouCAN's clock cannot make."""

_SPECIFICATION = 0x300
_NO_HANDLE = -1

_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "can_test": (c_int, [c_int32, c_uint8, c_void_p, c_void_p]),
    "can_init": (c_int, [c_int32, c_uint8, c_void_p]),
    "can_start": (c_int, [c_int, c_char_p]),
    "can_read": (c_int, [c_int, c_void_p, c_uint16]),
    "can_status": (c_int, [c_int, c_void_p]),
    "can_property": (c_int, [c_int, c_uint16, c_void_p, c_uint32]),
    "can_reset": (c_int, [c_int]),
    "can_kill": (c_int, [c_int]),
    "can_exit": (c_int, [c_int]),
    "can_hardware": (c_char_p, [c_int]),
    "can_firmware": (c_char_p, [c_int]),
    "can_version": (c_char_p, []),
}


def default_library(platform: str = sys.platform) -> str:
    """Return the path at which MacCAN installs its library; on other systems, a name for the system to look up."""
    return "/usr/local/lib/libUVCANTOU.dylib" if platform == "darwin" else "libUVCANTOU.so"


def errno_of(code: int) -> int | None:
    """Return the system's error number in a code; None if it holds none."""
    return _E_ERRNO - code if code <= _E_ERRNO else None


def is_passing(code: int) -> bool:
    """Return whether the adapter is there, and failed only this time."""
    return code in (E_TX_BUSY, E_TIMEOUT) or _E_ERRNO < code <= _E_VENDOR


def meaning(code: int) -> str:
    """Return a negative code in words."""
    if (number := errno_of(code)) is not None:
        return os.strerror(number)
    if code <= _E_VENDOR:
        return f"error {code} of the adapter"
    return _MEANINGS.get(code, f"error {code}")


def by_index(index: int) -> bytes:
    """Return a can_bitrate_t that names a predefined bit rate, 0 to -8."""
    return BITRATE.pack(index, *(9 * [0]))


def by_timing(clock_hz: int, nominal: Timing, data: Timing | None) -> bytes:
    """Return a can_bitrate_t with bit timing; without `data` if the bit rate does not switch."""
    return BITRATE.pack(clock_hz, *nominal, 0, *(data or nominal))


class Library:
    """A loaded library. Other threads run while a call waits."""

    def __init__(self, path: str) -> None:
        """Load the library. Raises SettingsRefused if there is none at `path`, or it has another interface."""
        if (MESSAGE.size, BITRATE.size) != (_MESSAGE_BYTES, _BITRATE_BYTES):
            raise SettingsRefused(
                f"can_message_t has {MESSAGE.size} bytes here, not {_MESSAGE_BYTES}: {path} needs a 64-bit "
                "system. Use one, or another interface."
            )
        self.path = path
        try:
            self._library = ctypes.CDLL(path)
            for name, (result, arguments) in _PROTOTYPES.items():
                function = getattr(self._library, name)
                function.restype, function.argtypes = result, arguments
        except OSError as error:
            raise SettingsRefused(
                f"no CAN library: {error_text(error)}. Install MacCAN-TouCAN's libUVCANTOU, or name its file as library."
            ) from error
        except AttributeError as error:
            raise SettingsRefused(
                f"{path} is no CAN API V3 library ({error_text(error)}). Name the file of libUVCANTOU as library."
            ) from error
        self._check_specification()
        self.read = self._library.can_read
        """read(handle, address, milliseconds) writes a MESSAGE to `address`; 0 milliseconds do not wait."""

    def test(self, channel: int, mode: int) -> tuple[int, int]:
        """Return the code and the channel's state: ABSENT, PRESENT, OCCUPIED or NOT_TESTABLE."""
        state = c_int(NOT_TESTABLE)
        code = self._library.can_test(channel, mode, None, ctypes.addressof(state))
        return code, state.value

    def init(self, channel: int, mode: int) -> int:
        """Return a handle, or a code if negative."""
        return int(self._library.can_init(channel, mode, None))

    def start(self, handle: int, bitrate: bytes) -> int:
        return int(self._library.can_start(handle, bitrate))

    def status(self, handle: int) -> tuple[int, int]:
        """Return the code and the status bits."""
        bits = c_uint8()
        code = self._library.can_status(handle, ctypes.addressof(bits))
        return code, bits.value

    def kill(self, handle: int) -> int:
        """Wake a waiting `read`, which then returns E_RX_EMPTY."""
        return int(self._library.can_kill(handle))

    def release(self, handle: int) -> int:
        """Stop the controller and give the channel back."""
        self._library.can_reset(handle)
        return int(self._library.can_exit(handle))

    def number(self, handle: int, code: int, size: int) -> int | None:
        """Return a property of `size` bytes; None if the library does not support it."""
        value = self._property(handle, code, size)
        return None if value is None else int.from_bytes(value, sys.byteorder)

    def bitrate(self, handle: int) -> tuple[int, ...] | None:
        """Return the bitrate in force, as BITRATE's fields; None if the library does not report it."""
        value = self._property(handle, P_BITRATE, BITRATE.size)
        return None if value is None else BITRATE.unpack(value)

    def check_layout(self, handle: int) -> None:
        """Raise SettingsRefused if the library was built with smaller structures.

        A library built for CAN 2.0 alone fills 16 bytes of a can_bitrate_t and 32 of a can_message_t; a library with
        the layout used here needs room for 24.
        """
        if self._property(handle, P_BITRATE, BITRATE.size - 1) is not None:
            raise SettingsRefused(
                f"{self.path} was built for CAN 2.0 alone (OPTION_CAN_2_0_ONLY), and its messages are laid "
                "out differently. Install the library as MacCAN-TouCAN publishes it."
            )

    def texts(self, handle: int) -> dict[str, str]:
        """Return the library's version, and the adapter's hardware and firmware."""
        library = self._library
        texts = {
            "library": library.can_version(),
            "hardware": library.can_hardware(handle),
            "firmware": library.can_firmware(handle),
        }
        return {key: text.decode("utf-8", "replace") for key, text in texts.items() if text}

    def _property(self, handle: int, code: int, size: int) -> bytes | None:
        # Twice the room, so that a library that writes more than `size` bytes overwrites nothing else.
        value = ctypes.create_string_buffer(2 * size)
        result = self._library.can_property(handle, code, ctypes.addressof(value), size)
        return value.raw[:size] if result >= 0 else None

    def _check_specification(self) -> None:
        specification = self.number(_NO_HANDLE, P_SPECIFICATION, 2)
        if specification != _SPECIFICATION:
            reported = "none" if specification is None else f"0x{specification:03X}"
            raise SettingsRefused(
                f"{self.path} is no CAN API V3 library: its specification is {reported}, "
                f"not 0x{_SPECIFICATION:X}. Name the file of libUVCANTOU as library."
            )
