"""Parameter groups of J1939: what a 29-bit id means, whoever sends it (SAE J1939-21, 5.2). Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

_T = TypeVar("_T")

_PF_OF_BROADCASTS = 0xF0
"""From this PDU format on (PDU2), the byte after it belongs to the group's number; before (PDU1), it is the destination."""
_PDU1_MASK = 0x03FF_0000
_PDU2_MASK = 0x03FF_FF00
_SOURCE_MASK = 0xFF


def group_bits(arbitration_id: int) -> int:
    """Return the bits of an id that are the parameter group's: neither priority, source, nor destination."""
    pdu_format = arbitration_id >> 16 & 0xFF
    return arbitration_id & (_PDU2_MASK if pdu_format >= _PF_OF_BROADCASTS else _PDU1_MASK)


class ParameterGroups(Generic[_T]):
    """Values by parameter group. Of several in a group, that of the same source counts, else the first."""

    def __init__(self) -> None:
        self._by_group: dict[int, _T] = {}
        self._by_source: dict[int, _T] = {}

    def add(self, arbitration_id: int, value: _T) -> None:
        group = group_bits(arbitration_id)
        self._by_group.setdefault(group, value)
        self._by_source.setdefault(group | arbitration_id & _SOURCE_MASK, value)

    def find(self, arbitration_id: int) -> _T | None:
        """Return the value for an id, or None if its group is unknown."""
        group = group_bits(arbitration_id)
        found = self._by_source.get(group | arbitration_id & _SOURCE_MASK)
        return self._by_group.get(group) if found is None else found
