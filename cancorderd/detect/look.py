"""Everything that can be found on this machine, in one list."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.detect import links, python_can, serial_ports
from cancorderd.errors import BusFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.detect.found import Found


class Sight(NamedTuple):
    """What was found, and what could not be looked for."""

    found: list[Found]
    notes: list[str]


def look(probe: Sequence[str] | None = None, *, software: bool = False) -> Sight:
    """Look for every kind of adapter.

    `probe`: ask each serial port on USB, and those named here, for its version; None: touch none.
    `software`: also what python-can offers without hardware.
    """
    search = python_can.Search(python_can.interfaces(software=software))
    notes: list[str] = []
    found: list[Found] = []
    try:
        found += [links.described(link, links.device(link.name)) for link in links.links()]
    except OSError as error:
        notes.append(f"CAN interfaces were not looked for: {error.strerror}.")
    try:
        from cancorderd.detect import usb_adapters  # noqa: PLC0415 - where pyusb is missing, the rest still works

        found += usb_adapters.look()
    except ImportError as error:
        notes.append(f"gs_usb adapters were not looked for: {error}.")
    except BusFailure as error:
        notes.append(f"gs_usb adapters were not looked for: {error}")
    found += _serial_ports(probe)
    detected, unanswered = search.result()
    if unanswered:
        names = ", ".join(unanswered)
        notes.append(
            f"These drivers of python-can did not answer within {python_can.DEADLINE_S:g} s: {names}."
        )
    return Sight(found + detected, notes)


def _serial_ports(probe: Sequence[str] | None) -> list[Found]:
    ports = serial_ports.ports(probe or ())
    if probe is None:
        answers: list[serial_ports.Answer | None] = [None] * len(ports)
    else:
        with ThreadPoolExecutor(max_workers=max(1, len(ports))) as pool:
            answers = list(pool.map(serial_ports.ask, ports))
    described = map(serial_ports.described, ports, answers)
    return [one for one in described if one is not None]
