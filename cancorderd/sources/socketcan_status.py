"""What `status` shows of a CAN link. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.sources.can_link_settings import differing

if TYPE_CHECKING:
    from cancorderd.config.model import SocketcanBus
    from cancorderd.sources.can_link_messages import Bittiming, Link


def details(link: Link, section: SocketcanBus) -> dict[str, str]:
    """The link as it is; `differs` names the keys of the bus that it does not follow."""
    shown = {
        "link": "up" if link.running else "up, no carrier",
        **_timing("bitrate", link.bittiming),
        **_timing("data_bitrate", link.data_bittiming),
    }
    if link.listen_only:
        shown["listen_only"] = "true"
    if link.restart_ms:
        shown["restart_ms"] = str(link.restart_ms)
    if link.errors:
        shown["errors"] = f"transmit {link.errors[0]}, receive {link.errors[1]}"
    if keys := differing(link, section):
        shown["differs"] = ", ".join(keys)
    shown["overruns"], shown["dropped"] = str(link.overruns), str(link.dropped)
    return shown


def _timing(key: str, timing: Bittiming | None) -> dict[str, str]:
    if timing is None:
        return {}
    point = f", sample point {timing.sample_point:g}" if timing.sample_point else ""
    return {key: f"{timing.bitrate}{point}"}


def bus_off_reason(link: Link, section: SocketcanBus) -> str:
    name = section.channel
    reason = f"{name} is bus-off. Check bitrate, wiring and termination."
    if section.configure:
        return f"{reason} It is restarted."
    if link.restart_ms:
        return f"{reason} It has not restarted by itself: ip link set {name} down; ip link set {name} up"
    # Not `type can restart`: drivers such as gs_usb refuse that.
    return (
        f"{reason} Then restart it: ip link set {name} down; ip link set {name} up. "
        "With configure = true, or with restart-ms set on the link, that happens by itself."
    )
