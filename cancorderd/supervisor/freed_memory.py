"""Memory that the supervisor has freed, returned to the system.

The C library keeps large freed blocks for later. The supervisor needs megabytes only while clients change workers,
and then not for days.
"""

from __future__ import annotations

import ctypes

LARGE = 1 << 20
"""Bytes from which returning them is worth a search through the heap."""


def return_freed_memory() -> None:
    """Return memory to the system where the C library can (glibc)."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    trim(0)
