"""The daemon's Zeroconf records as avahi, another implementation, sees them."""

from __future__ import annotations

import shlex
import subprocess
from typing import NamedTuple

SERVICE_TYPE = "_ecuconnect-log._tcp"


class Record(NamedTuple):
    """A resolved record, as avahi-browse found it on an interface over a protocol."""

    interface: str
    protocol: str
    """IPv4 or IPv6, over which the record was found."""
    instance: str
    host: str
    address: str
    port: int
    text: dict[str, str]


def forget() -> None:
    """Restart avahi: a killed supervisor could not withdraw its records, and they live for an hour."""
    subprocess.run(["systemctl", "restart", "avahi-daemon"], check=True, timeout=60)


def browse() -> list[Record]:
    """Return the loggers on the network, once for each interface and protocol over which they were found.

    Each has a single address, since avahi-browse prints a single address.
    """
    output = subprocess.run(
        ["avahi-browse", "-rpt", SERVICE_TYPE], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    found = [_record(line) for line in output.splitlines() if line.startswith("=;")]
    # A record that changes while avahi-browse runs is printed again.
    return list({(record.interface, record.protocol, record.instance): record for record in found}.values())


def _record(line: str) -> Record:
    """Parse a line of `avahi-browse -p`: =;interface;protocol;instance;type;domain;host;address;port;"text" ..."""
    _, interface, protocol, instance, _, _, host, address, port, text = line.split(";", 9)
    pairs = (word.partition("=") for word in shlex.split(text))
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
    """Replace the \\ddd that -p writes for blanks and punctuation."""
    parts = name.split("\\")
    return parts[0] + "".join(chr(int(part[:3])) + part[3:] for part in parts[1:])
