"""What avahi, a Zeroconf implementation that is not ours, sees of the daemon's records."""

from __future__ import annotations

import shlex
import subprocess
from typing import NamedTuple

SERVICE_TYPE = "_ecuconnect-log._tcp"


class Record(NamedTuple):
    """One resolved record, as avahi-browse found it on one interface by one protocol."""

    interface: str
    protocol: str
    """Over which it was found: IPv4 or IPv6."""
    instance: str
    host: str
    address: str
    port: int
    text: dict[str, str]


def forget() -> None:
    """Start avahi anew: a supervisor that a test killed could not withdraw its records, and they live for an hour."""
    subprocess.run(["systemctl", "restart", "avahi-daemon"], check=True, timeout=60)


def browse() -> list[Record]:
    """Every logger on the network now, once for each interface and protocol over which it was found.

    One of a logger's addresses only: avahi tells one.
    """
    output = subprocess.run(
        ["avahi-browse", "-rpt", SERVICE_TYPE], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    found = [_record(line) for line in output.splitlines() if line.startswith("=;")]
    # What changes while avahi-browse looks is told again.
    return list({(one.interface, one.protocol, one.instance): one for one in found}.values())


def _record(line: str) -> Record:
    """A line of `avahi-browse -p`: =;interface;protocol;instance;type;domain;host;address;port;"text" ..."""
    _, interface, protocol, instance, _, _, host, address, port, text = line.split(";", 9)
    pairs = (one.partition("=") for one in shlex.split(text))
    return Record(
        interface,
        protocol,
        _unescaped(instance),
        host,
        address,
        int(port),
        {key: value for key, _, value in pairs},
    )


def _unescaped(name: str) -> str:
    """A name without the \\ddd that -p writes for blanks and punctuation."""
    parts = name.split("\\")
    return parts[0] + "".join(chr(int(part[:3])) + part[3:] for part in parts[1:])
