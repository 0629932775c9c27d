"""The ways in which a bus can fail, and the reasons that several adapters give. Pure.

Sources raise these exceptions and no others; errors of libraries and of the system become ours at the edge. `str()`
is the reason that `status` shows: sentences that a person can act on, as place, fact, remedy.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from cancorderd.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

ABSENT = frozenset({errno.ENODEV, errno.ENOENT, errno.ENXIO})
"""Error numbers of a device that is not there."""
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
"""Error numbers of a device that this user may not open."""
OCCUPIED = frozenset({errno.EBUSY, errno.EAGAIN})
"""Error numbers of a device that another program has open."""

_LONGEST_REASON = 3000
"""Characters; the reason of a bus that searches for its adapter names the failure of each."""


class BusFailure(Exception):
    """Base of everything that ends or delays a bus; `str()` is the reason that `status` shows."""

    def __init__(self, reason: str) -> None:
        super().__init__(printable(reason, _LONGEST_REASON))


class AdapterAbsent(BusFailure):
    """The device or interface is not there (yet): wait for it."""


class BusError(BusFailure):
    """Read error, interface down or removed, unplugged, bus-off, silence: exit with `WorkerExit.CAN_ERROR`."""


class SettingsRefused(BusFailure):
    """The adapter or the system cannot do what the settings ask for, or forbids it: `WorkerExit.REFUSED`."""


def absent_reason(fact: str, keys: str = "channel") -> str:
    """Return the reason of an adapter that is not there; `keys` of the configuration may be wrong."""
    return f"{fact}. Plug the adapter in, or correct {keys}."


def occupied_reason(place: str, alternative: str = "channel") -> str:
    """Return the reason of a device that another program has open; another `alternative` may be free."""
    return f"{place} is in use by another program. End that program, or choose another {alternative}."


def bus_off_reason(place: str) -> str:
    """Return the reason of a controller that is bus-off."""
    return f"{place} is bus-off. Check bitrate, wiring and termination."


def failure_of_errno(
    number: int | None,
    place: str,
    fact: str,
    *,
    absent: str,
    forbidden: Callable[[], str] | None = None,
    alternative: str | None = None,
) -> BusFailure:
    """Return the failure that an error number of the system means for a bus.

    `fact` is the error in words. `absent` is the reason if the device is not there; `forbidden` returns the reason if
    it may not be opened; `alternative` is the argument of `occupied_reason`. An error number without a reason of its
    own is a BusError. Adapters check their own special cases first.
    """
    if number in ABSENT:
        return AdapterAbsent(absent)
    if forbidden and number in FORBIDDEN:
        return AdapterAbsent(forbidden())
    if alternative and number in OCCUPIED:
        return BusError(occupied_reason(place, alternative))
    return BusError(f"{place}: {fact}")
