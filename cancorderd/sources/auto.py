"""auto: the first adapter that works, in the ancestor's order: gs_usb, slcan, CAN interfaces that are up.

`choices` is pure. An adapter that another bus names is left alone, and two buses that search never get
the same one. What is found is opened by the source of its own interface, and told in `details`.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

from cancorderd import sources
from cancorderd.detect import links, serial_ports
from cancorderd.errors import AdapterAbsent, BusFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.config.model import AutoBus
    from cancorderd.detect.serial_ports import Port
    from cancorderd.sources.base import Source
    from cancorderd.sources.can_link_messages import Link
    from cancorderd.sources.usb_devices import Adapter

_REST_S = 1.0
"""How long an adapter that does not work is left alone: opening some takes a conversation with them."""


class Choice(NamedTuple):
    """An adapter that may work, and the key of the section that would open it."""

    interface: str
    which: str
    key: str
    value: str | int

    def __str__(self) -> str:
        return f"{self.interface} {self.which}"


def choices(
    adapters: Sequence[Adapter], ports: Sequence[Port], interfaces: Sequence[Link], taken: Sequence[str]
) -> list[Choice]:
    """What to try, in this order; `taken` is what other buses name (`config.clashes.named_adapters`)."""
    found = []
    for index, one in enumerate(adapters if "gs_usb" not in taken else ()):
        chosen = ("serial", one.serial) if one.serial else ("index", index)
        found.append(Choice("gs_usb", one.serial or one.place, *chosen))
    places = {os.path.realpath(text.partition(" ")[2]) for text in taken if text.startswith("slcan ")}
    for port in ports:
        named = os.path.realpath(port.path) in places or f"slcan {port.serial}" in taken
        # Only its answer would tell an adapter from another device with the same USB id, and nobody is asked here.
        if serial_ports.known(port) and not named:
            found.append(Choice("slcan", port.path, "channel", port.path))
    names = [link.name for link in interfaces]
    found += [Choice("socketcan", name, "channel", name) for name in names]
    return [one for one in found if str(one) not in taken]


class Search:
    """What one bus has learnt of the adapters, and what keeps others off the one that it has."""

    def __init__(self) -> None:
        self._failures: dict[Choice, tuple[float, str]] = {}
        """Until when each is left alone, and why."""
        self._claim: socket.socket | None = None

    def open(self, section: AutoBus, tried: Sequence[Choice], now_s: float) -> Source:
        """The first that works; `now_s` is the monotonic clock.

        Raises AdapterAbsent where none does, and says of each adapter why.
        """
        reasons = []
        for choice in tried:
            until_s, why = self._failures.get(choice, (now_s, ""))
            if now_s >= until_s:
                try:
                    return self._opened(choice, section)
                except BusFailure as error:
                    why = f"{choice}: {error}"
                    self._failures[choice] = (now_s + _REST_S, why)
            reasons.append(why)
        if reasons:
            raise AdapterAbsent(f"no adapter works. {' '.join(reasons)}")
        raise AdapterAbsent("there is no adapter. Plug one in; cancorderctl detect tells which are seen.")

    def close(self) -> None:
        """Leave the adapter to others."""
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def _opened(self, choice: Choice, section: AutoBus) -> Source:
        self.close()
        self._claim = _claim(choice)
        try:
            source = sources.open_source(section_for(choice, section))
        except BaseException:
            self.close()
            raise
        source.details["found"] = str(choice)
        return source


_search = Search()
"""This process serves one bus, and holds its claim to the end."""


def open_source(section: AutoBus) -> Source:
    """Raises AdapterAbsent where nothing works, and says of each adapter why."""
    try:
        interfaces = links.links()
    except OSError:  # without netlink, no CAN interface can be had either
        interfaces = []
    there = choices(_adapters(), serial_ports.ports(), interfaces, section.taken)
    return _search.open(section, there, time.monotonic())


def section_for(choice: Choice, section: AutoBus) -> SimpleNamespace:
    """The section of the interface that was found, with the keys of the bus that searches."""
    keys = {**vars(section), **section.kinds[choice.interface], "interface": choice.interface}
    return SimpleNamespace(**{**keys, choice.key: choice.value})


def _claim(choice: Choice) -> socket.socket | None:
    """Keep other searching buses off: several can read one CAN interface. Raises AdapterAbsent.

    Linux only, where a socket's name can stand for anything; elsewhere adapters can be opened but once.
    """
    if not sys.platform.startswith("linux"):
        return None
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0cancorderd auto {sha256(str(choice).encode()).hexdigest()}")
    except OSError:
        claim.close()
        raise AdapterAbsent('another bus with interface = "auto" has it.') from None
    return claim


def _adapters() -> list[Adapter]:
    try:
        from cancorderd.sources.usb_devices import adapters  # noqa: PLC0415 - pyusb may be missing

        return adapters()
    except (ImportError, BusFailure):
        return []
