"""Checked heads of packets, remembered by the beginnings of an adapter's frames. Pure.

The frames of a bus begin alike again and again. Decoders that pack whole batches therefore check each beginning once
(`packets.head`), and look the result up for every further frame: this costs less than packing the head anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K")
V = TypeVar("V")

_MOST_BEGINNINGS = 8192
"""Ids times lengths of a busy bus. Beyond that the cache starts over, so that noise cannot grow it."""


class HeadCache(dict[K, V]):
    """Results of `read` by the beginning of a frame, in the adapter's own form."""

    def __init__(self, read: Callable[[K], V]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, beginning: K) -> V:
        if len(self) >= _MOST_BEGINNINGS:
            self.clear()
        result = self[beginning] = self._read(beginning)
        return result
