"""The wire's flags for the flag byte of an adapter's frame, as tables for decoders. Pure."""

from __future__ import annotations

from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD


def wire_flags_by_byte(*, extended: int = 0, fd: int = 0, brs: int, esi: int) -> list[int]:
    """Return the wire's flags for each value of a byte in which the adapter sets these bits.

    BRS and ESI exist with FD only. `fd` 0: every frame with such a byte is FD.
    """
    table = []
    for bits in range(256):
        flags = EXTENDED if bits & extended else 0
        if not fd or bits & fd:
            flags |= FD | (BRS if bits & brs else 0) | (ESI if bits & esi else 0)
        table.append(flags)
    return table
