"""The selector of the worker's loop, which waits once for each frame of a quiet bus.

`EpollSelector` does for each wake what the standard library's does, with a fraction of its work; `new_selector` is the
standard library's where there is no epoll(7), as on macOS.
"""

from __future__ import annotations

import contextlib
import select
import selectors
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVENTS_AT_ONCE = 64
"""Events of one wake; the others follow with the next."""


class EpollSelector(selectors.BaseSelector):
    """Level-triggered. A descriptor that has failed is ready for everything that it is watched for."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._keys: dict[int, SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        descriptor = _descriptor(fileobj)
        if descriptor in self._keys:
            raise KeyError(f"{fileobj!r} is already registered")
        self._epoll.register(descriptor, _epoll_events(events))
        key = self._keys[descriptor] = SelectorKey(fileobj, descriptor, events, data)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        key = self.get_key(fileobj)
        if events != key.events:
            self._epoll.modify(key.fd, _epoll_events(events))
        key = self._keys[key.fd] = SelectorKey(key.fileobj, key.fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> SelectorKey:
        key = self.get_key(fileobj)
        del self._keys[key.fd]
        with contextlib.suppress(OSError):  # the descriptor is closed: epoll has forgotten it
            self._epoll.unregister(key.fd)
        return key

    def get_key(self, fileobj: Any) -> SelectorKey:
        return self._keys[_descriptor(fileobj)]

    def get_map(self) -> Mapping[Any, SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        keys = self._keys
        ready = []
        for descriptor, bits in self._epoll.poll(timeout, _EVENTS_AT_ONCE):
            if key := keys.get(descriptor):
                events = EVENT_READ if bits == select.EPOLLIN else key.events & _selector_events(bits)
                ready.append((key, events))
        return ready

    def close(self) -> None:
        self._epoll.close()
        self._keys.clear()


def new_selector() -> selectors.BaseSelector:
    """Return the best selector of this system."""
    return EpollSelector() if hasattr(select, "epoll") else selectors.DefaultSelector()


def _descriptor(fileobj: Any) -> int:
    return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())


def _epoll_events(events: int) -> int:
    return (select.EPOLLIN if events & EVENT_READ else 0) | (select.EPOLLOUT if events & EVENT_WRITE else 0)


def _selector_events(bits: int) -> int:
    """Return the events that bits of epoll stand for: any other than these two, such as EPOLLHUP, means both."""
    return (EVENT_READ if bits & ~select.EPOLLOUT else 0) | (EVENT_WRITE if bits & ~select.EPOLLIN else 0)
