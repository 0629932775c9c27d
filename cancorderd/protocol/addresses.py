"""Addresses of TCP sockets, as people write them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def address_text(host: str, port: int) -> str:
    """Return HOST:PORT, or [IPv6]:PORT: 192.168.1.20:42420, [::1]:42420."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def missing_text(addresses: Sequence[str]) -> str:
    """Return the sentence for addresses in `listen` that the machine does not have."""
    listed = " or ".join(addresses)
    return f"listen: this machine has no address {listed} (yet). Correct listen, or wait for the network."
