"""The identity of this machine on the network: its host name, and a code that no other machine has.

A host name does not suffice: every new Raspberry Pi has the same. Nor does the machine id: copies of an SD card
share it, together with every file. Network adapters differ.
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import socket
import struct
import sys
from pathlib import Path

from cancorderd.supervisor.service_record import Machine

_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_SIOCETHTOOL = 0x8946
_ETHTOOL_GPERMADDR = 0x20
_LONGEST_ADDRESS = 32
_MAC_BYTES = 6
_NO_MAC = bytes(_MAC_BYTES)
_LOCALLY_ADMINISTERED = 0x02


class MachineLookup:
    """Each call returns the current host name, and the code, which stays the same from the first network adapter on."""

    def __init__(self) -> None:
        self._code = ""

    def __call__(self) -> Machine:
        hostname = socket.gethostname()
        if self._code:
            return Machine(hostname, self._code)
        permanent = permanent_macs()
        mac = min(permanent, default=None) or min(current_macs(), key=_preference, default=None)
        code = machine_code(machine_id(), mac or b"")
        if mac:
            # An adapter that is plugged in later would change the lowest address; the code has to stay.
            self._code = code
        return Machine(hostname, code)


def machine_code(identifier: str, mac: bytes) -> str:
    """Return eight hexadecimal digits. A hash, since machine-id(5) asks not to publish the id itself."""
    return hashlib.sha256(b"cancorderd\0" + identifier.encode() + b"\0" + mac).hexdigest()[:8]


def machine_id() -> str:
    """Return the id of this installation; empty if it has none."""
    for path in _MACHINE_ID_FILES:
        with contextlib.suppress(OSError):
            if found := Path(path).read_bytes()[:64].decode("ascii", "replace").strip():
                return found
    return ""


def permanent_macs() -> list[bytes]:
    """Return the addresses that the makers of the network adapters gave them; none on other systems than Linux."""
    if sys.platform != "linux":
        return []
    import fcntl  # noqa: PLC0415 - absent on Windows

    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            answer = array.array(
                "B", struct.pack(f"=II{_LONGEST_ADDRESS}x", _ETHTOOL_GPERMADDR, _LONGEST_ADDRESS)
            )
            request = struct.pack("16sP16x", name.encode(), answer.buffer_info()[0])
            with contextlib.suppress(OSError):
                fcntl.ioctl(sock, _SIOCETHTOOL, request)
                _, size = struct.unpack_from("=II", answer)
                mac = answer.tobytes()[8 : 8 + size]
                if len(mac) == _MAC_BYTES and mac != _NO_MAC:
                    found.append(mac)
    return found


def current_macs() -> list[bytes]:
    """Return the addresses that the network adapters use, also of adapters that exist in software alone."""
    # Needed only on a machine without a permanent address.
    from cancorderd.supervisor.quiet_psutil import psutil  # noqa: PLC0415

    found = []
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == psutil.AF_LINK:
                with contextlib.suppress(ValueError):
                    mac = bytes.fromhex(address.address.replace(":", "").replace("-", ""))
                    if len(mac) == _MAC_BYTES and mac != _NO_MAC:
                        found.append(mac)
    return found


def _preference(mac: bytes) -> tuple[bool, bytes]:
    """Sort addresses that are assigned by makers first; others may be made up anew at each start."""
    return bool(mac[0] & _LOCALLY_ADMINISTERED), mac
