"""slcan: serial ports that a LAWICEL adapter is behind, by their USB id or by their answer to `V`.

`found_adapter`, `known_product` and `version_in` are pure; `ports` and `ask_version` look at the system.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import select
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import serial
from serial.tools import list_ports

from cancorderd.adapters.candidate import Candidate
from cancorderd.adapters.device_permission import forbidden_reason
from cancorderd.adapters.failures import FORBIDDEN, OCCUPIED
from cancorderd.adapters.scan import FoundAdapter, ScanResult
from cancorderd.adapters.slcan.serial_port import error_number, usb_socket
from cancorderd.printable import error_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from serial.tools.list_ports_common import ListPortInfo

    from cancorderd.adapters.scan import ScanOptions

BY_ID = "/dev/serial/by-id"
BY_PATH = "/dev/serial/by-path"
"""For adapters that all have one serial number: the same as long as an adapter is plugged into the same USB socket."""

KNOWN = {
    (0x16D0, 0x117E): "CANable 2",  # normaldotcom/canable2-fw, src/usbd_desc.c
    (0xAD50, 0x60C4): "CANable, CANtact",  # normaldotcom/canable-fw; issues linklayer/cantact 3
    (0x0403, 0xFFA8): "LAWICEL CANUSB",  # Linux, drivers/usb/serial/ftdi_sio_ids.h: FTDI_CANUSB_PID
}
"""USB ids (vendor, product) that only slcan adapters have."""
SHARED = {
    (0x04D8, 0x000A): "USBtin?",  # Microchip's CDC demo: USBtin has it, and so have power supplies
}
"""USB ids that an slcan adapter shares with other devices: only its answer is proof."""
_PRODUCT = re.compile(r"canable|cantact|canusb|usbtin|slcan|zubax babel", re.IGNORECASE)
"""Product names of slcan adapters, for those whose USB id is not known."""

_VERSION = re.compile(
    rb"V(?=[A-Za-z]*[0-9][A-Za-z]*[0-9])[0-9A-Za-z]{4}|V[0-9]{1,2}|V[0-9](?:\.[0-9]{1,3}){1,3}"
    rb"|[ -~\t]*(?i:slcan|canable|cantact|canusb|usbtin|lawicel)[ -~\t]*"
)
"""LAWICEL CAN232 manual 3.0, command V: V and four digits, letters among them in some firmware. CANable firmware answers
without the V: "16e7497 github.com/normaldotcom/canable2.git" (canable2-fw, src/slcan.c), or with tabs between fields. Other
devices, too, have words that begin with V."""
_TTY_BAUDRATE = 115_200
_ASK_AT_S = (0.0, 0.3, 1.0, 2.0)
"""The first V may end half a command that the adapter still holds, and boards that reset when their port is
opened are deaf for up to 2 s."""
_PATIENCE_S = 2.5
_MOST_BYTES = 1 << 16


class Port(NamedTuple):
    """A serial port."""

    path: str
    """The path that stays the same, in /dev/serial/by-id or, if its serial number is not its own, in by-path."""
    device: str
    usb: tuple[int, int] | None = None
    """Vendor and product; None if the port is not on USB."""
    product: str = ""
    serial: str | None = None
    accessible: bool = True
    asked_for: bool = False
    """Named by the user."""


class Answer(NamedTuple):
    """The answer of an adapter that was asked for its version, or the reason why it could not be asked."""

    version: str | None
    reason: str = ""


def scan(options: ScanOptions) -> ScanResult:
    """Find the adapters behind serial ports; with `options.probe`, ask each port for its version."""
    candidates = ports(options.probe or ())
    answers: list[Answer | None] = [None] * len(candidates)
    if options.probe is not None:
        with ThreadPoolExecutor(max_workers=max(1, len(candidates))) as pool:
            answers = list(pool.map(ask_version, candidates))
    adapters = map(found_adapter, candidates, answers)
    return ScanResult([adapter for adapter in adapters if adapter is not None])


def known_product(port: Port) -> str | None:
    """Return the slcan adapter that a port's USB id or product name stands for; None for other ports."""
    if port.usb in KNOWN:
        return KNOWN[port.usb]
    return port.product if _PRODUCT.search(port.product) else None


def found_adapter(port: Port, answer: Answer | None = None) -> FoundAdapter | None:
    """Return the adapter behind a port; None if nothing suggests an slcan adapter."""
    name = known_product(port)
    shared = SHARED.get(port.usb) if port.usb else None
    answered = answer is not None and answer.version is not None
    if not (name or shared or answered or port.asked_for):
        return None
    usb = f" (USB {port.usb[0]:04x}:{port.usb[1]:04x})" if port.usb else ""
    adapter = f"{port.product or name or shared or 'serial port'}{usb}"
    state, remedy = "there", ""
    if answer is not None:
        state = answer.reason or (f"answers {answer.version}" if answered else "does not answer to V")
    elif not port.accessible:
        state, remedy = "no permission", forbidden_reason(port.device)
    elif not name:
        state, remedy = "perhaps", f"ask it: cancorderctl detect --probe {port.path}"
    # Firmware that answers nothing is still known by its id.
    keys = {"channel": port.path} if answered or name else None
    return FoundAdapter("slcan", port.path, adapter, state, keys, remedy, port.serial)


def version_in(text: bytes) -> str | None:
    """Return the answer to `V` in the text from an adapter; frames may surround it if the adapter is open."""
    for line in re.split(rb"[\r\n\a]", text):
        if _VERSION.fullmatch(line):
            return " ".join(line.decode("ascii").split())
    return None


def ports(asked_for: Collection[str] = ()) -> list[Port]:
    """Return the system's serial ports on USB, and those `asked_for`, whether on USB or not."""
    by_id, by_path = _links_in(BY_ID), _links_in(BY_PATH)
    wanted = {os.path.realpath(path): path for path in asked_for}
    found = []
    present = list_ports.comports()
    repeated = repeated_ids(present)
    for listed in present:
        if listed.vid is not None and listed.pid is not None:
            device = os.path.realpath(listed.device)
            named = wanted.pop(device, None) is not None
            stable = by_path if _id(listed) in repeated else by_id
            path = stable.get(device, listed.device)
            usb = (listed.vid, listed.pid)
            found.append(
                Port(
                    path,
                    listed.device,
                    usb,
                    listed.product or "",
                    listed.serial_number,
                    _accessible(listed.device),
                    named,
                )
            )
    return [
        *sorted(found, key=lambda port: port.path),
        *(Port(path, path, accessible=_accessible(path), asked_for=True) for path in wanted.values()),
    ]


def _links_in(folder: str) -> dict[str, str]:
    """Return the links of a folder of udev by the devices that they lead to."""
    return {os.path.realpath(link): link for link in sorted(glob.glob(f"{folder}/*"), reverse=True)}


def _id(listed: ListPortInfo) -> tuple[object, ...]:
    return listed.vid, listed.pid, listed.serial_number


def repeated_ids(listed: Sequence[ListPortInfo]) -> set[tuple[object, ...]]:
    """Return the ids that several adapters have: udev has one link in by-id for all of them."""
    sockets: dict[tuple[object, ...], set[str]] = {}
    for port in listed:
        sockets.setdefault(_id(port), set()).add(usb_socket(port))
    return {number for number, places in sockets.items() if len(places) > 1}


def ask_version(port: Port) -> Answer:
    """Send `V` and close the port again. Takes up to 2.5 s if nothing answers."""
    try:
        with serial.Serial(port.device, _TTY_BAUDRATE, timeout=0, write_timeout=0, exclusive=True) as opened:
            return Answer(_conversation(opened.fileno()))
    except (OSError, ValueError) as error:
        return Answer(None, _reason(error))


def _conversation(descriptor: int) -> str | None:
    os.set_blocking(descriptor, False)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    began_s = time.monotonic()
    questions = list(_ASK_AT_S)
    text = b""
    while (passed_s := time.monotonic() - began_s) < _PATIENCE_S and len(text) < _MOST_BYTES:
        if questions and passed_s >= questions[0]:
            questions.pop(0)
            with contextlib.suppress(BlockingIOError):
                os.write(descriptor, b"V\r")
        wait_s = (questions[0] if questions else _PATIENCE_S) - passed_s
        if poll.poll(1000 * max(0.0, wait_s)):
            piece = os.read(descriptor, 4096)
            if not piece:
                return None
            text += piece
            # The last line may be incomplete.
            if found := version_in(text[: max(text.rfind(b"\r"), text.rfind(b"\n")) + 1]):
                return found
    return None


def _reason(error: Exception) -> str:
    number = error_number(error)
    if number in FORBIDDEN:
        return "no permission"
    if number in OCCUPIED:
        return "in use by another program"
    return "does not exist" if number == errno.ENOENT else f"cannot be opened ({error_text(error)})"


def _accessible(device: str) -> bool:
    return os.access(device, os.R_OK | os.W_OK) or not os.path.exists(device)


def candidates(ports: Collection[Port]) -> list[Candidate]:
    """Return the ports for a bus that searches.

    Only an answer would prove that a device with a shared USB id is an adapter, and no port is asked here.
    """
    return [
        Candidate("slcan", port.path, "channel", port.path, port.serial)
        for port in ports
        if known_product(port)
    ]
