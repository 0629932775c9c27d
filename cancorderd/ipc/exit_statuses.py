"""Exit statuses by which the processes report to their supervisor why they ended. Pure."""

from __future__ import annotations

import enum


class WorkerExit(enum.IntEnum):
    """Exit statuses of a worker, named after the closest ones in sysexits.h. Any other status is a crash."""

    DONE = 0
    """The worker stopped in good order, because it was asked to or because its supervisor is gone."""
    CAN_ERROR = 74
    """EX_IOERR: the bus or its adapter failed. Trying again soon may help."""
    REFUSED = 78
    """EX_CONFIG: these settings cannot work. Trying again without a change is pointless."""


class SideExit(enum.IntEnum):
    """Exit statuses of a process beside the workers, such as the page for browsers. Any other status is a failure."""

    DONE = 0
    """There is nothing to do: it was asked to end, or the configuration does not want it."""
    AGAIN = 75
    """EX_TEMPFAIL: the settings have changed; it has to be started again at once."""
    REFUSED = 78
    """EX_CONFIG: these settings cannot work, or not at present."""
