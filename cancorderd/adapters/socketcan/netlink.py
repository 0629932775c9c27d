"""The netlink sockets that read, watch and set up the link of a socketcan bus.

`link` reads and writes their messages, `link_setup` decides on the changes. Reading needs no permission, setting up
needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from cancorderd.adapters.socketcan.link import (
    acknowledged,
    change_request,
    link_in,
    link_request,
    load_message_class,
    notified_names,
)
from cancorderd.adapters.socketcan.link_setup import changes_for, refusal_failure

if TYPE_CHECKING:
    from cancorderd.adapters.socketcan.link import Link, LinkChange
    from cancorderd.adapters.socketcan.settings import SocketcanSettings

_RTMGRP_LINK = 1
_MOST_BYTES = 1 << 16
"""More than the kernel puts into a message."""
# Numbers that CPython's socket module lacks (linux/socket.h, linux/netlink.h).
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11


class LinkSocket:
    """Reads links and sets them up. The kernel has answered each request by the time that `send` returns."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sequence = 0
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def read(self, name: str) -> Link:
        """Return the link with this name. Raises OSError: ENODEV if there is no such interface."""
        self._sequence += 1
        self._socket.send(link_request(name, self._sequence))
        while True:
            link = link_in(self._socket.recv(_MOST_BYTES), self._sequence)
            if link:
                return link

    def set_up(self, link: Link, settings: SocketcanSettings) -> None:
        """Make `link` follow `settings`, and bring it up. A link that follows them already stays untouched.

        Raises SettingsRefused, AdapterAbsent or BusError.
        """
        for change in changes_for(link, settings):
            try:
                self._apply(link.number, change)
            except OSError as error:
                raise refusal_failure(link, settings, change, error) from error

    def _apply(self, number: int, change: LinkChange) -> None:
        self._sequence += 1
        self._socket.send(change_request(number, change, self._sequence))
        while not acknowledged(self._socket.recv(_MOST_BYTES), self._sequence):
            pass

    def close(self) -> None:
        self._socket.close()


class LinkWatch:
    """Notices at once that an interface comes, goes or changes (`base.ArrivalWatch`)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, _RTMGRP_LINK))

    def fileno(self) -> int:
        return self._socket.fileno()

    def arrived(self) -> bool:
        names: set[str] = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    names |= notified_names(self._socket.recv(_MOST_BYTES))
                except BlockingIOError:
                    raise
                except OSError:  # ENOBUFS: notifications were lost
                    return True
        return self._name in names

    def close(self) -> None:
        self._socket.close()


def open_watch(settings: SocketcanSettings) -> LinkWatch:
    """Watch for the link of a bus. Raises OSError.

    Loads the code that sets links up, so that nothing waits for it when the link arrives.
    """
    if settings.configure:
        load_message_class()
    return LinkWatch(settings.channel)
