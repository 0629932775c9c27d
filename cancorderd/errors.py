"""The ways in which a bus can fail, and the exit status by which a worker tells its supervisor.

Sources raise these and nothing else; library errors become ours at the edge. Every message is one
sentence that a person can act on: the place, the fact, the remedy.
"""

from __future__ import annotations

import enum


class WorkerExit(enum.IntEnum):
    """Exit statuses of a worker (sysexits.h names what lies nearest). Any other is a crash."""

    DONE = 0
    """Stopped in good order because it was asked to, or because its supervisor is gone."""
    CAN_ERROR = 74
    """EX_IOERR: the bus or its adapter failed; worth another try soon."""
    REFUSED = 78
    """EX_CONFIG: these settings cannot work; trying again without a change is pointless."""


class BusFailure(Exception):
    """Base of everything that ends or delays a bus; `str()` is the reason that `status` shows."""


class AdapterAbsent(BusFailure):
    """The device or interface is not there (yet): wait for it."""


class BusError(BusFailure):
    """Read error, interface down or removed, unplugged, bus-off, silence: `CAN_ERROR`."""


class SettingsRefused(BusFailure):
    """The adapter or the system cannot do what the settings ask for, or forbids it: `REFUSED`."""


class WireError(ValueError):
    """A stream that is no ECUconnect Logger stream, or a frame that has no form in it."""
