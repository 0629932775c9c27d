"""A log with every kind of data frame, for replay."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import can

from cancorderd.protocol.frame import CLASSIC_MAX_LENGTH, DLC_LENGTHS

if TYPE_CHECKING:
    from pathlib import Path


def write_every_kind(file: Path) -> int:
    """Write a candump log with both kinds of id, every length and every flag, 1 ms apart. Return its number of frames."""
    classic = [(length, False, False, False) for length in range(CLASSIC_MAX_LENGTH + 1)]
    fd = [
        (length, True, brs, esi) for length in DLC_LENGTHS for brs in (False, True) for esi in (False, True)
    ]
    kinds = list(product(((0x123, False), (0x18DA_F110, True)), classic + fd))
    with can.CanutilsLogWriter(file) as log:
        for number, ((arbitration_id, extended), (length, is_fd, brs, esi)) in enumerate(kinds):
            log(
                can.Message(
                    timestamp=1.0 + number / 1000, arbitration_id=arbitration_id, is_extended_id=extended,
                    is_fd=is_fd, bitrate_switch=brs, error_state_indicator=esi, data=bytes(range(length)),
                )
            )  # fmt: skip
    return len(kinds)
