"""Network interfaces of the machine, created, changed and removed by `ip`."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CAN_FD_MTU = 72


def ip(command: str) -> None:
    """Run `ip` with these words. Raises CalledProcessError if it fails."""
    subprocess.run(["ip", *command.split()], check=True)


def add_vcan(name: str) -> None:
    ip(f"link add {name} type vcan")
    ip(f"link set {name} mtu {CAN_FD_MTU} up")


@contextlib.contextmanager
def vcan(name: str) -> Iterator[None]:
    """Create a virtual CAN interface that is up and supports CAN FD."""
    add_vcan(name)
    try:
        yield
    finally:
        # A failed test may have removed it.
        with contextlib.suppress(subprocess.CalledProcessError):
            ip(f"link del {name}")


@contextlib.contextmanager
def network(name: str, *addresses: str) -> Iterator[None]:
    """Create an interface beside lo with these addresses and multicast; no other host is on its network."""
    ip(f"link add {name} type dummy")
    try:
        ip(f"link set {name} multicast on up")
        for address in addresses:
            add_address(name, address)
        yield
    finally:
        ip(f"link del {name}")


def add_address(name: str, address: str) -> None:
    """Add an address, without IPv6's search for duplicates, so that it works at once."""
    ip(f"address add {address} dev {name}{' nodad' if ':' in address else ''}")


def cansend(interface: str, text: str) -> None:
    """Send a frame, in the notation of cansend(1)."""
    subprocess.run(["cansend", interface, text], check=True)
