"""candump's filters, which follow the name of a bus: `powertrain,7E0:7F0,400~7FF`. Pure.

`ID:MASK` passes ids that equal ID in the bits of MASK, `ID~MASK` all others. Of several filters any may pass a
frame; with `j`, all have to. Numbers are hexadecimal; eight digits denote a 29-bit id. `#MASK` passes error frames of
these classes, in a stream that has such frames; without it, all of them pass.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.protocol.frame import ERROR, EXTENDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.protocol.frame import Frame

_EFF = 0x8000_0000
"""CAN_EFF_FLAG (linux/can.h): the bit of an id, and of a mask, that marks 29-bit ids."""
_ERR = 0x2000_0000
"""CAN_ERR_FLAG, which candump removes from masks."""
_ALL_CLASSES = 0x1FFF_FFFF
"""CAN_ERR_MASK"""
_ERROR_FILTER = re.compile(r"#([0-9A-Fa-f]{1,8})")
_FILTER = re.compile(r"([0-9A-Fa-f]{1,8})([:~])([0-9A-Fa-f]{1,8})")


class IdFilter(NamedTuple):
    """Passes ids that equal `id` in the bits of `mask`; if `inverted`, all others."""

    id: int
    mask: int
    inverted: bool

    def passes(self, can_id: int) -> bool:
        return ((can_id & self.mask) == (self.id & self.mask)) != self.inverted


class FrameFilter(NamedTuple):
    """Several filters together; without any, every frame passes."""

    id_filters: Sequence[IdFilter] = ()
    joined: bool = False
    """Whether all filters have to pass a frame, instead of any."""
    error_classes: int = _ALL_CLASSES

    def passes(self, frame: Frame) -> bool:
        if frame.flags & ERROR:
            return self.error_classes == _ALL_CLASSES or bool(frame.arbitration_id & self.error_classes)
        if not self.id_filters:
            return True
        can_id = frame.arbitration_id | (_EFF if frame.flags & EXTENDED else 0)
        verdicts = (id_filter.passes(can_id) for id_filter in self.id_filters)
        return all(verdicts) if self.joined else any(verdicts)


def split(text: str, *, errors: bool = False) -> tuple[str, FrameFilter]:
    """Return the name before the first comma, and the filters after it; `errors` if there are error frames to filter.

    Raises ValueError for an invalid filter.
    """
    name, *parts = text.split(",")
    joined = [part for part in parts if part in ("j", "J")]
    classes = [part for part in parts if errors and _ERROR_FILTER.fullmatch(part)]
    ids = [_id_filter(part) for part in parts if part not in joined and part not in classes]
    if not classes:
        return name, FrameFilter(ids, bool(joined))
    mask = 0
    for part in classes:
        mask |= int(part[1:], 16) & _ALL_CLASSES
    return name, FrameFilter(ids, bool(joined), mask)


def _id_filter(text: str) -> IdFilter:
    if text.startswith("#"):
        raise ValueError(
            f"{text}: error frames have no form in the stream of a TCP port. Add --errors and write #MASK in hexadecimal, "
            "or omit this filter."
        )
    match = _FILTER.fullmatch(text)
    if match is None:
        raise ValueError(
            f'"{text}" is not a filter. Write ID:MASK in hexadecimal, such as 123:7FF (this id) or 123~7FF (all others).'
        )
    number, kind, mask = match.groups()
    extended = _EFF if len(number) == 8 else 0
    return IdFilter(int(number, 16) | extended, int(mask, 16) & ~_ERR, kind == "~")
