"""Network interfaces of the machine, as `ip` makes, changes and removes them."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CAN_FD_MTU = 72


def ip(command: str) -> None:
    """Run `ip` with these words; CalledProcessError where it refuses."""
    subprocess.run(["ip", *command.split()], check=True)


def add_vcan(name: str) -> None:
    ip(f"link add {name} type vcan")
    ip(f"link set {name} mtu {CAN_FD_MTU} up")


@contextlib.contextmanager
def vcan(name: str) -> Iterator[None]:
    """A virtual CAN interface that is up and takes CAN FD."""
    add_vcan(name)
    try:
        yield
    finally:
        # A test that failed may have left it removed.
        with contextlib.suppress(subprocess.CalledProcessError):
            ip(f"link del {name}")


@contextlib.contextmanager
def network(name: str, *addresses: str) -> Iterator[None]:
    """An interface beside lo that takes multicast, with these addresses. Nobody else is on it."""
    ip(f"link add {name} type dummy")
    try:
        ip(f"link set {name} multicast on up")
        for address in addresses:
            add_address(name, address)
        yield
    finally:
        ip(f"link del {name}")


def add_address(name: str, address: str) -> None:
    """Give an address; without IPv6's search for duplicates, so that it is in force at once."""
    ip(f"address add {address} dev {name}{' nodad' if ':' in address else ''}")


def cansend(interface: str, text: str) -> None:
    """Send one frame, written as cansend(1) has it."""
    subprocess.run(["cansend", interface, text], check=True)
