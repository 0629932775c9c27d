"""Opening a TouCAN channel: settings in the library's terms, and its refusals in ours."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from cancorderd.errors import AdapterAbsent, BusError, BusFailure, SettingsRefused
from cancorderd.sources import bit_timing, can_api
from cancorderd.sources.bit_timing import Limits

if TYPE_CHECKING:
    from cancorderd.config.model import ToucanBus
    from cancorderd.sources.can_api import Library

CLOCK_HZ = 50_000_000
INDEXES = {
    1_000_000: 0,
    500_000: -2,
    250_000: -3,
    125_000: -4,
    100_000: -5,
    50_000: -6,
    20_000: -7,
    10_000: -8,
}
"""CiA's bit rates (CANBTR_INDEX_...) without 800,000, which TouCAN's clock cannot be divided into."""
_800K = 800_000
_CLASSIC_LIMITS = Limits(brp=1024, tseg1=16, tseg2=8, sjw=4)
"""The adapter's controller, an STM32's bxCAN."""
_FD_LIMITS = Limits(brp=1024, tseg1=256, tseg2=128, sjw=128)
_DATA_LIMITS = Limits(brp=1024, tseg1=32, tseg2=16, sjw=16)
"""CAN API V3's own (CANBTR_NOMINAL_..., CANBTR_DATA_...)."""
_SOFT_MODES = can_api.ERR
"""Asked for, but done without where the library has it not."""
_GONE = frozenset({can_api.E_RESOURCE, can_api.E_HANDLE, can_api.E_NOT_INITIALISED})
_UNKNOWN_MODE = frozenset({can_api.E_PARAMETER, can_api.E_NOT_SUPPORTED})


def operation_mode(section: ToucanBus) -> int:
    """Mode bits. Status messages always: without them the library does not hear of bus-off."""
    mode = can_api.ERR
    if section.listen_only:
        mode |= can_api.MON
    if section.fd:
        mode |= can_api.FDOE | (can_api.BRSE if section.data_bitrate else 0)
    return mode


def bitrate(section: ToucanBus, clock_hz: int) -> bytes:
    """The settings as a can_bitrate_t. Raises SettingsRefused for what `clock_hz` cannot be divided into."""
    index = INDEXES.get(section.bitrate)
    if index is not None and section.sample_point is None and not section.fd:
        return can_api.by_index(index)
    limits = _FD_LIMITS if section.fd else _CLASSIC_LIMITS
    nominal = _timing("bitrate", section.bitrate, section.sample_point, clock_hz, limits)
    data = None
    if section.fd and section.data_bitrate:
        data = _timing("data_bitrate", section.data_bitrate, None, clock_hz, _DATA_LIMITS)
    return can_api.by_timing(clock_hz, nominal, data)


def refuse_800k(section: ToucanBus) -> None:
    """Before the adapter is looked for: no TouCAN ever will."""
    if section.bitrate == _800K:
        raise SettingsRefused(
            "TouCAN has no 800 kbit/s: its 50 MHz clock cannot be divided into it. Use 500000 or 1000000."
        )


def initialise(library: Library, section: ToucanBus) -> int:
    """The handle of the channel, initialised but not started.

    Raises AdapterAbsent, SettingsRefused, or BusError where another program holds it.
    """
    place, mode = f"TouCAN channel {section.channel}", operation_mode(section)
    code, state = library.test(section.channel, mode)
    if state == can_api.ABSENT:
        raise AdapterAbsent(f"there is no {place}. Plug the adapter in, or correct channel.")
    if state == can_api.OCCUPIED:
        raise _occupied(place)
    if state == can_api.NOT_TESTABLE and code in (can_api.E_HANDLE, can_api.E_NOT_INITIALISED):
        raise SettingsRefused(f"the library has no {place}. Channels count from 0; correct channel.")
    handle = library.init(section.channel, mode)
    if handle in _UNKNOWN_MODE:
        handle = library.init(section.channel, mode & ~_SOFT_MODES)
    if handle in _UNKNOWN_MODE and section.fd:
        raise SettingsRefused(f"{place} has no CAN FD. Set fd = false, or use another adapter.")
    if handle in _UNKNOWN_MODE and section.listen_only:
        raise SettingsRefused(f"{place} cannot listen only. Set listen_only = false, or use another adapter.")
    if handle < 0:
        raise failure(place, handle, AdapterAbsent)
    return handle


def start(library: Library, handle: int, section: ToucanBus) -> dict[str, str]:
    """Put the channel on the bus; what is to be told of it. Raises SettingsRefused or BusError."""
    library.check_layout(handle)
    place = f"TouCAN channel {section.channel}"
    clock_hz = library.number(handle, can_api.P_CLOCK, 4) or CLOCK_HZ
    code = library.start(handle, bitrate(section, clock_hz))
    if code == can_api.E_BAUDRATE:
        raise SettingsRefused(
            f"{place} refuses bitrate {section.bitrate}. Use one of {_listed()} (bit/s), without sample_point."
        )
    if code < 0:
        raise failure(place, code, BusError)
    details = library.texts(handle)
    if (told := library.bitrate(handle)) is not None:
        nominal = bit_timing.Timing(*told[1:5])
        details["timing"] = (
            f"{nominal.bitrate(told[0]):.0f} bit/s, sample point {100 * nominal.sample_point:.1f} %"
        )
    return details


def failure(place: str, code: int, gone: type[BusFailure]) -> BusFailure:
    """Our class for a negative code; `gone` for a device that is not there (any more)."""
    if code in _GONE:
        return gone(f"{place} is gone: {can_api.meaning(code)} ({code}). Plug the adapter in again.")
    if code == can_api.E_INITIALISED_ALREADY:
        return _occupied(place)
    if can_api.errno_of(code) in (errno.EACCES, errno.EPERM):
        return AdapterAbsent(
            f"{place}: no permission ({code}). Run the daemon as a user who may use USB devices."
        )
    return BusError(f"{place}: {can_api.meaning(code)} ({code}).")


def _occupied(place: str) -> BusError:
    return BusError(f"{place} is in use by another program. End that program, or choose another channel.")


def _timing(
    key: str, rate: int, sample_point: float | None, clock_hz: int, limits: Limits
) -> bit_timing.Timing:
    timing = bit_timing.find(clock_hz, rate, sample_point, limits)
    if timing is None:
        point = "" if sample_point is None else f" with sample_point {sample_point:g}"
        remedy = "a divisor of the clock" if key == "data_bitrate" else f"one of {_listed()} (bit/s)"
        raise SettingsRefused(
            f"TouCAN has no {key} {rate}{point}: its {clock_hz / 1e6:g} MHz clock cannot be divided into it. "
            f"Use {remedy}{', or leave sample_point out' if point else ''}."
        )
    return timing


def _listed() -> str:
    return ", ".join(map(str, sorted(INDEXES)))
