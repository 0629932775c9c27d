"""slcan: serial ports whose USB id, or whose answer to `V`, is that of a LAWICEL adapter.

`described`, `known` and `version` are pure; `ports` and `ask` look.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import select
import time
from typing import TYPE_CHECKING, NamedTuple

import serial
from serial.tools import list_ports

from cancorderd.detect.found import Found
from cancorderd.sources import permission

if TYPE_CHECKING:
    from collections.abc import Collection

BY_ID = "/dev/serial/by-id"

KNOWN = {
    (0x16D0, 0x117E): "CANable 2",  # normaldotcom/canable2-fw, src/usbd_desc.c
    (0xAD50, 0x60C4): "CANable, CANtact",  # normaldotcom/canable-fw; issues linklayer/cantact 3
    (0x0403, 0xFFA8): "LAWICEL CANUSB",  # Linux, drivers/usb/serial/ftdi_sio_ids.h: FTDI_CANUSB_PID
}
"""USB ids (vendor, product) that only slcan adapters have."""
SHARED = {
    (0x04D8, 0x000A): "USBtin?",  # Microchip's CDC demo: USBtin has it, and so have power supplies
}
"""USB ids that an slcan adapter shares with other devices: only its answer tells."""
_PRODUCT = re.compile(r"canable|cantact|canusb|usbtin|slcan|zubax babel", re.IGNORECASE)
"""What slcan adapters call themselves: by that those are known whose ids are not."""

_VERSION = re.compile(rb"V[0-9A-Za-z][ -~]{1,60}|[ -~]*(?:slcan|canable)[ -~]*", re.IGNORECASE)
"""LAWICEL CAN232 manual 3.0, command V: V and four digits. CANable firmware answers without the V:
"16e7497 github.com/normaldotcom/canable2.git" (canable2-fw, src/slcan.c)."""
_TTY_BAUDRATE = 115_200
_ASK_AGAIN_S = (0.0, 0.3, 1.0, 2.0)
"""The first question may end half a command that the adapter still holds, and boards that reset when
their port is opened are deaf for up to 2 s."""
_PATIENCE_S = 2.5
_MOST_BYTES = 1 << 16


class Port(NamedTuple):
    """A serial port."""

    path: str
    """The path that stays the same: in /dev/serial/by-id where there is one."""
    device: str
    usb: tuple[int, int] | None = None
    """Vendor and product; None for a port that is not on USB."""
    product: str = ""
    serial: str | None = None
    accessible: bool = True
    asked_for: bool = False
    """Named by the user."""


class Answer(NamedTuple):
    """What came of asking an adapter for its version."""

    version: str | None
    problem: str = ""


def known(port: Port) -> str | None:
    """What an slcan adapter's USB id or name says that it is; None for other ports."""
    if port.usb in KNOWN:
        return KNOWN[port.usb]
    return port.product if _PRODUCT.search(port.product) else None


def described(port: Port, answer: Answer | None = None) -> Found | None:
    """The port as what was found; None where nothing speaks for an slcan adapter."""
    name = known(port)
    shared = SHARED.get(port.usb) if port.usb else None
    answered = answer is not None and answer.version is not None
    if not (name or shared or answered or port.asked_for):
        return None
    usb = f" (USB {port.usb[0]:04x}:{port.usb[1]:04x})" if port.usb else ""
    adapter = f"{port.product or name or shared or 'serial port'}{usb}"
    state, remedy = "there", ""
    if answer is not None:
        state = answer.problem or (f"answers {answer.version}" if answered else "does not answer to V")
    elif not port.accessible:
        state, remedy = "no permission", permission.remedy(port.device)
    elif not name:
        state, remedy = "perhaps", f"ask it: cancorderctl detect --probe {port.path}"
    # Firmware that answers nothing is still known by its id.
    keys = {"channel": port.path} if answered or name else None
    return Found("slcan", port.path, adapter, state, keys, remedy, port.serial)


def version(text: bytes) -> str | None:
    """The answer to `V` among what an adapter sent; frames of an open one may surround it."""
    for line in re.split(rb"[\r\n\a]", text):
        if _VERSION.fullmatch(line):
            return line.decode("ascii")
    return None


def ports(asked_for: Collection[str] = ()) -> list[Port]:
    """The system's serial ports on USB, and those `asked_for`, whether on USB or not."""
    stable = {os.path.realpath(link): link for link in sorted(glob.glob(f"{BY_ID}/*"), reverse=True)}
    wanted = {os.path.realpath(path): path for path in asked_for}
    found = []
    for one in list_ports.comports():
        if one.vid is not None and one.pid is not None:
            device = os.path.realpath(one.device)
            named = wanted.pop(device, None) is not None
            path = stable.get(device, one.device)
            words = (one.product or "", one.serial_number)
            free = _accessible(one.device)
            found.append(Port(path, one.device, (one.vid, one.pid), *words, free, asked_for=named))
    return [
        *sorted(found, key=lambda port: port.path),
        *(Port(path, path, accessible=_accessible(path), asked_for=True) for path in wanted.values()),
    ]


def ask(port: Port) -> Answer:
    """Send `V` and close the port again. Takes up to 2.5 s where nothing answers."""
    try:
        with serial.Serial(port.device, _TTY_BAUDRATE, timeout=0, write_timeout=0, exclusive=True) as opened:
            return Answer(_conversation(opened.fileno()))
    except (OSError, ValueError) as error:
        return Answer(None, _problem(error))


def _conversation(descriptor: int) -> str | None:
    os.set_blocking(descriptor, False)
    began_s = time.monotonic()
    questions = list(_ASK_AGAIN_S)
    text = b""
    while (passed_s := time.monotonic() - began_s) < _PATIENCE_S and len(text) < _MOST_BYTES:
        if questions and passed_s >= questions[0]:
            questions.pop(0)
            with contextlib.suppress(BlockingIOError):
                os.write(descriptor, b"V\r")
        wait_s = (questions[0] if questions else _PATIENCE_S) - passed_s
        if select.select([descriptor], [], [], max(0.0, wait_s))[0]:
            piece = os.read(descriptor, 4096)
            if not piece:
                return None
            text += piece
            # The last line may be cut short.
            if found := version(text[: max(text.rfind(b"\r"), text.rfind(b"\n")) + 1]):
                return found
    return None


def _problem(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return "no permission"
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        return "in use by another program"
    return "does not exist" if number == errno.ENOENT else f"cannot be opened ({error})"


def _accessible(device: str) -> bool:
    return os.access(device, os.R_OK | os.W_OK) or not os.path.exists(device)
