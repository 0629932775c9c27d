"""tshark with our dissector, installed like by a user, and its output as frames.

If the tests run as root, tshark runs as nobody, because Wireshark 4.4 does not load the plug-ins of root.
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

from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD, Frame
from tests.support.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DISSECTOR = ROOT / "contrib/wireshark/ecuconnect.lua"
_NOBODY = 65_534
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class ShownPacket:
    """A captured packet as shown by tshark."""

    stream: int
    frames: list[Frame] = field(default_factory=list)
    """Frames shown by our dissector."""
    can: list[Frame] = field(default_factory=list)
    """The same frames shown by the CAN dissectors, without time stamps."""
    protocols: list[str] = field(default_factory=list)
    expert: list[str] = field(default_factory=list)
    """Expert information: messages of the dissectors about mistakes."""


class Tshark:
    """tshark with a temporary home folder that contains the dissector."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp())
        self._home.chmod(0o755)
        plugins = self._home / ".local/lib/wireshark/plugins"
        plugins.mkdir(parents=True)
        shutil.copy(DISSECTOR, plugins)

    def run(self, capture: bytes, *options: str) -> str:
        """Return the output for `capture`. Fails on any error of Lua."""
        file = self._home / "capture"
        file.write_bytes(capture)
        user = _NOBODY if os.geteuid() == 0 else None
        done = subprocess.run(
            ["tshark", "-n", "-r", file, *options],
            capture_output=True, text=True, check=False, timeout=300,
            env={"PATH": os.environ["PATH"], "HOME": str(self._home), "TZ": "UTC", "LC_ALL": "C.UTF-8"},
            user=user, group=user, extra_groups=None if user is None else [],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Lua" not in done.stderr, done.stderr
        assert "Lua Error" not in done.stdout, done.stdout
        return done.stdout

    def shown(self, capture: bytes, *options: str) -> list[ShownPacket]:
        """Return every captured packet with TCP payload."""
        pdml = ET.fromstring(self.run(capture, "-T", "pdml", *options))
        return [shown for packet in pdml.iter("packet") if (shown := _shown(packet)) is not None]

    def frames(self, capture: bytes, *options: str) -> list[Frame]:
        """Return all frames of `capture`, after a check that the CAN dissectors show the same frames."""
        packets = self.shown(capture, *options)
        expert = expert_in(packets)
        assert not expert, expert[:5]
        frames = frames_in(packets)
        assert [frame for packet in packets for frame in packet.can] == [
            frame._replace(timestamp_us=0) for frame in frames
        ]
        return frames

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._home)


def frames_in(packets: list[ShownPacket]) -> list[Frame]:
    return [frame for packet in packets for frame in packet.frames]


def expert_in(packets: list[ShownPacket]) -> list[str]:
    return [message for packet in packets for message in packet.expert]


def _shown(packet: ET.Element) -> ShownPacket | None:
    if packet.find("proto[@name='tcp']//field[@name='tcp.payload']") is None:
        return None
    stream = packet.find("proto[@name='tcp']/field[@name='tcp.stream']")
    assert stream is not None
    shown = ShownPacket(int(stream.get("show", "")))
    protos = [proto for proto in packet.iter("proto") if proto.get("hide") != "yes"]
    for index, proto in enumerate(protos):
        name = proto.get("name", "")
        shown.protocols.append(name)
        if name == "ecuconnect" and _field(proto, "ecuconnect.id") is not None:
            shown.frames.append(_frame(proto))
        elif name in ("can", "canfd"):
            shown.can.append(_can_frame(proto, protos[index + 1] if index + 1 < len(protos) else None))
        if name in ("ecuconnect", "can", "canfd"):
            shown.expert += [message.get("show", "") for message in _fields(proto, "_ws.expert.message")]
    return shown


def _frame(proto: ET.Element) -> Frame:
    """Return the frame in our dissector's fields. The fields of the flags have to match the flags byte."""
    flags = int(_value(proto, "ecuconnect.flags"), 16)
    for name, flag in (("extended", EXTENDED), ("fd", FD), ("brs", BRS), ("esi", ESI)):
        assert _is_set(proto, f"ecuconnect.flags.{name}") == bool(flags & flag)
    data = bytes.fromhex(_value(proto, "ecuconnect.data", "").replace(":", ""))
    assert int(_value(proto, "ecuconnect.length")) == len(data)
    stamp_us = microseconds(_value(proto, "ecuconnect.timestamp"))
    return Frame(stamp_us, int(_value(proto, "ecuconnect.id"), 16), flags, data)


def _can_frame(proto: ET.Element, above: ET.Element | None) -> Frame:
    """Return the frame in the fields of the CAN dissectors; its payload follows as "data"."""
    flags = EXTENDED * _is_set(proto, "can.flags.xtd")
    if proto.get("name") == "canfd":
        flags |= FD | BRS * _is_set(proto, "canfd.flags.brs") | ESI * _is_set(proto, "canfd.flags.esi")
    length = int(_value(proto, "can.len"))
    data = b""
    if length and above is not None and _field(above, "data.data") is not None:
        data = bytes.fromhex(_value(above, "data.data").replace(":", ""))
    return Frame(0, int(_value(proto, "can.id"), 0), flags, data)


def _fields(proto: ET.Element, name: str) -> Iterator[ET.Element]:
    return (field for field in proto.iter("field") if field.get("name") == name)


def _field(proto: ET.Element, name: str) -> ET.Element | None:
    return next(_fields(proto, name), None)


def _value(proto: ET.Element, name: str, otherwise: str | None = None) -> str:
    field = _field(proto, name)
    if field is None and otherwise is not None:
        return otherwise
    assert field is not None, f"{name} is missing"
    return field.get("show", "")


def _is_set(proto: ET.Element, name: str) -> bool:
    return _value(proto, name) in ("1", "True")


def microseconds(shown: str) -> int:
    """Return the microseconds since the epoch of a time shown by Wireshark 4.0 or later, in UTC with nanoseconds."""
    text = shown.removesuffix(" UTC").removesuffix("Z")
    whole, fraction = text.split(".")
    form = "%Y-%m-%dT%H:%M:%S" if "T" in whole else "%b %d, %Y %H:%M:%S"
    moment = datetime.strptime(whole, form).replace(tzinfo=UTC)
    assert fraction.endswith("000"), shown
    return int((moment - _EPOCH).total_seconds()) * 1_000_000 + int(fraction[:6])
