"""The link below a socketcan bus: looked at, watched, and set up over netlink.

Messages are `can_link_messages`' business, what should be set `can_link_settings`'. Reading needs no
permission, setting up CAP_NET_ADMIN.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from cancorderd.sources import can_link_messages, can_link_settings

if TYPE_CHECKING:
    from cancorderd.config.model import SocketcanBus
    from cancorderd.sources.can_link_messages import Link
    from cancorderd.sources.can_link_settings import Step

_RTMGRP_LINK = 1
_MOST_BYTES = 1 << 16
"""Above what the kernel puts into one message."""
# Numbers that CPython's socket module lacks (linux/socket.h, linux/netlink.h).
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11


class Links:
    """Asks the kernel for links, and sets them up. Every answer is there as soon as the question is sent."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sequence = 0
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def read(self, name: str) -> Link:
        """Raises OSError: ENODEV where there is no such interface."""
        self._sequence += 1
        self._socket.send(can_link_messages.request(name, self._sequence))
        while True:
            link = can_link_messages.answer(self._socket.recv(_MOST_BYTES), self._sequence)
            if link:
                return link

    def set_up(self, link: Link, section: SocketcanBus) -> None:
        """Make `link` as `section` says and bring it up; one that is right already stays untouched.

        Raises SettingsRefused, AdapterAbsent or BusError.
        """
        for step in can_link_settings.steps(link, section):
            try:
                self._take(link.number, step)
            except OSError as error:
                raise can_link_settings.failure(link, section, step, error) from error

    def _take(self, number: int, step: Step) -> None:
        from cancorderd.sources.can_link_encoder import encode  # noqa: PLC0415 - pyroute2 is large

        self._sequence += 1
        self._socket.send(encode(number, step, self._sequence))
        while not can_link_messages.acknowledged(self._socket.recv(_MOST_BYTES), self._sequence):
            pass

    def close(self) -> None:
        self._socket.close()


def prepare() -> None:
    """Load what setting a link up takes, so that it need not be waited for once the link is there."""
    from cancorderd.sources.can_link_encoder import message_class  # noqa: PLC0415 - pyroute2 is large

    message_class()


class LinkWatch:
    """Notices at once that an interface comes, goes or changes (base.Watch)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, _RTMGRP_LINK))

    def fileno(self) -> int:
        return self._socket.fileno()

    def news(self) -> bool:
        names: set[str] = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    names |= can_link_messages.names(self._socket.recv(_MOST_BYTES))
                except BlockingIOError:
                    raise
                except OSError:  # ENOBUFS: more came than there was room for
                    return True
        return self._name in names

    def close(self) -> None:
        self._socket.close()
