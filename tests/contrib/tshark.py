"""tshark with our dissector, installed as a user would; and what it shows, as frames.

It runs as nobody where the tests run as root: Wireshark 4.4 reads no plug-ins of root's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self
from xml.etree import ElementTree as ET

from cancorderd.frame import BRS, ESI, EXTENDED, FD, Frame
from tests.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DISSECTOR = ROOT / "contrib/wireshark/ecuconnect.lua"
_NOBODY = 65_534
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Shown:
    """One captured packet as tshark shows it."""

    stream: int
    frames: list[Frame] = field(default_factory=list)
    """As our dissector shows them."""
    can: list[Frame] = field(default_factory=list)
    """As the CAN dissectors that they were handed to show them; without time."""
    protocols: list[str] = field(default_factory=list)
    expert: list[str] = field(default_factory=list)
    """What the dissectors complain about."""


class Tshark:
    """A home folder of its own, with the dissector among its plug-ins."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp())
        self._home.chmod(0o755)
        plugins = self._home / ".local/lib/wireshark/plugins"
        plugins.mkdir(parents=True)
        shutil.copy(DISSECTOR, plugins)

    def run(self, capture: bytes, *options: str) -> str:
        """What it prints about `capture`, with any complaint of Lua's as a failure."""
        file = self._home / "capture"
        file.write_bytes(capture)
        whoever = _NOBODY if os.geteuid() == 0 else None
        done = subprocess.run(
            ["tshark", "-n", "-r", file, *options],
            capture_output=True, text=True, check=False, timeout=300,
            env={"PATH": os.environ["PATH"], "HOME": str(self._home), "TZ": "UTC", "LC_ALL": "C.UTF-8"},
            user=whoever, group=whoever, extra_groups=None if whoever is None else [],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Lua" not in done.stderr, done.stderr
        assert "Lua Error" not in done.stdout, done.stdout
        return done.stdout

    def shown(self, capture: bytes, *options: str) -> list[Shown]:
        """Every captured packet with TCP payload."""
        pdml = ET.fromstring(self.run(capture, "-T", "pdml", *options))
        return [made for packet in pdml.iter("packet") if (made := _shown(packet)) is not None]

    def frames(self, capture: bytes, *options: str) -> list[Frame]:
        """All frames of `capture`, after a check that CAN's dissectors saw the same."""
        shown = self.shown(capture, *options)
        complaints = [told for one in shown for told in one.expert]
        assert not complaints, complaints[:5]
        frames = [frame for one in shown for frame in one.frames]
        assert [frame for one in shown for frame in one.can] == [
            frame._replace(timestamp_us=0) for frame in frames
        ]
        return frames

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._home)


def _shown(packet: ET.Element) -> Shown | None:
    if packet.find("proto[@name='tcp']//field[@name='tcp.payload']") is None:
        return None
    stream = packet.find("proto[@name='tcp']/field[@name='tcp.stream']")
    assert stream is not None
    shown = Shown(int(stream.get("show", "")))
    protos = [proto for proto in packet.iter("proto") if proto.get("hide") != "yes"]
    for place, proto in enumerate(protos):
        name = proto.get("name", "")
        shown.protocols.append(name)
        if name == "ecuconnect" and _field(proto, "ecuconnect.id") is not None:
            shown.frames.append(_frame(proto))
        elif name in ("can", "canfd"):
            shown.can.append(_can_frame(proto, protos[place + 1] if place + 1 < len(protos) else None))
        if name in ("ecuconnect", "can", "canfd"):
            shown.expert += [one.get("show", "") for one in _fields(proto, "_ws.expert.message")]
    return shown


def _frame(proto: ET.Element) -> Frame:
    """Our dissector's fields. Its single flags say the same as its flags byte."""
    flags = int(_value(proto, "ecuconnect.flags"), 16)
    for name, flag in (("extended", EXTENDED), ("fd", FD), ("brs", BRS), ("esi", ESI)):
        assert _is_set(proto, f"ecuconnect.flags.{name}") == bool(flags & flag)
    data = bytes.fromhex(_value(proto, "ecuconnect.data", "").replace(":", ""))
    assert int(_value(proto, "ecuconnect.length")) == len(data)
    stamp_us = microseconds(_value(proto, "ecuconnect.timestamp"))
    return Frame(stamp_us, int(_value(proto, "ecuconnect.id"), 16), flags, data)


def _can_frame(proto: ET.Element, above: ET.Element | None) -> Frame:
    """The fields of CAN's dissectors; the payload is what follows as "data"."""
    flags = EXTENDED * _is_set(proto, "can.flags.xtd")
    if proto.get("name") == "canfd":
        flags |= FD | BRS * _is_set(proto, "canfd.flags.brs") | ESI * _is_set(proto, "canfd.flags.esi")
    length = int(_value(proto, "can.len"))
    data = b""
    if length and above is not None and _field(above, "data.data") is not None:
        data = bytes.fromhex(_value(above, "data.data").replace(":", ""))
    return Frame(0, int(_value(proto, "can.id"), 0), flags, data)


def _fields(proto: ET.Element, name: str) -> Iterator[ET.Element]:
    return (one for one in proto.iter("field") if one.get("name") == name)


def _field(proto: ET.Element, name: str) -> ET.Element | None:
    return next(_fields(proto, name), None)


def _value(proto: ET.Element, name: str, otherwise: str | None = None) -> str:
    found = _field(proto, name)
    if found is None and otherwise is not None:
        return otherwise
    assert found is not None, f"{name} is missing"
    return found.get("show", "")


def _is_set(proto: ET.Element, name: str) -> bool:
    return _value(proto, name) in ("1", "True")


def microseconds(shown: str) -> int:
    """Since the epoch, of a time as Wireshark 4.0 or a later one shows it, with nanoseconds, in UTC."""
    text = shown.removesuffix(" UTC").removesuffix("Z")
    whole, fraction = text.split(".")
    form = "%Y-%m-%dT%H:%M:%S" if "T" in whole else "%b %d, %Y %H:%M:%S"
    moment = datetime.strptime(whole, form).replace(tzinfo=UTC)
    assert fraction.endswith("000"), shown
    return int((moment - _EPOCH).total_seconds()) * 1_000_000 + int(fraction[:6])
