"""Filters as candump takes them behind the name of a bus: `powertrain,7E0:7F0,400~7FF`. Pure.

`ID:MASK` lets pass what equals ID in the bits of MASK, `ID~MASK` all else; of several, one is enough, or
with `j` every one is needed. Numbers are hexadecimal; eight digits mean a 29-bit id.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.frame import EXTENDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.frame import Frame

_EFF = 0x8000_0000
"""CAN_EFF_FLAG (linux/can.h): the bit of an id, and of a mask, that tells 29-bit ids."""
_ERR = 0x2000_0000
"""CAN_ERR_FLAG, which candump takes out of masks."""
_FILTER = re.compile(r"([0-9A-Fa-f]{1,8})([:~])([0-9A-Fa-f]{1,8})")


class Filter(NamedTuple):
    """Passes what equals `id` in the bits of `mask`, or with `inverted` what does not."""

    id: int
    mask: int
    inverted: bool

    def passes(self, can_id: int) -> bool:
        return ((can_id & self.mask) == (self.id & self.mask)) != self.inverted


class Filters(NamedTuple):
    """Several; without any, everything passes."""

    each: Sequence[Filter] = ()
    joined: bool = False
    """Every one has to let a frame pass, not just one."""

    def passes(self, frame: Frame) -> bool:
        if not self.each:
            return True
        can_id = frame.arbitration_id | (_EFF if frame.flags & EXTENDED else 0)
        found = (one.passes(can_id) for one in self.each)
        return all(found) if self.joined else any(found)


def split(text: str) -> tuple[str, Filters]:
    """What stands before the first comma, and the filters behind it. Raises ValueError for one that is none."""
    name, *parts = text.split(",")
    joined = [part for part in parts if part in ("j", "J")]
    return name, Filters([_filter(part) for part in parts if part not in joined], bool(joined))


def _filter(text: str) -> Filter:
    if text.startswith("#"):
        raise ValueError(f"{text}: error frames have no form in the stream. Leave this filter out.")
    match = _FILTER.fullmatch(text)
    if match is None:
        raise ValueError(
            f'"{text}" is no filter. Write ID:MASK in hexadecimal, such as 123:7FF (this id) or 123~7FF (all others).'
        )
    number, kind, mask = match.groups()
    extended = _EFF if len(number) == 8 else 0
    return Filter(int(number, 16) | extended, int(mask, 16) & ~_ERR, kind == "~")
