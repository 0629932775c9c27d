"""A link compared with the settings of its bus: the changes it needs, and its details in `status`. Pure.

`link` turns the changes into messages, `netlink` sends them.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from cancorderd.adapters import failures
from cancorderd.adapters.can_frame import CANFD_MTU
from cancorderd.adapters.failures import FORBIDDEN, AdapterAbsent, BusError, BusFailure, SettingsRefused
from cancorderd.adapters.socketcan.link import LinkChange
from cancorderd.config.schema import values

if TYPE_CHECKING:
    from cancorderd.adapters.socketcan.link import Link, LinkTiming
    from cancorderd.adapters.socketcan.settings import SocketcanSettings

_SAME_RATE = 0.005
"""A driver reports the rate that its clock can make; a deviation this small from the bus's is the same on the wire."""
_REFUSALS = (errno.EINVAL, errno.EOPNOTSUPP, errno.ERANGE, errno.EDOM)


def changes_for(link: Link, settings: SocketcanSettings) -> list[LinkChange]:
    """Return the changes that make `link` follow `settings`; none if it does already, so that it stays up.

    Settings can only be changed while the link is down (linux/drivers/net/can/dev/netlink.c). Taking the link down
    also restarts a controller that is bus-off: not every driver can be restarted otherwise.
    """
    changes = _controller_changes(link, settings) if link.kind == "can" else _virtual_changes(link, settings)
    if link.up and not changes and link.controller != "bus-off":
        return []
    down = [LinkChange("", up=False)] if link.up else []
    return [*down, *changes, LinkChange("", up=True)]


def differing(link: Link, settings: SocketcanSettings) -> list[str]:
    """Return the keys of `settings` that `link` does not follow."""
    return [change.key for change in _controller_changes(link, settings)] if link.kind == "can" else []


def _controller_changes(link: Link, settings: SocketcanSettings) -> list[LinkChange]:
    found = []
    timing = _timing(settings.bitrate, settings.sample_point)
    if link.listen_only != settings.listen_only:
        found.append(_mode("listen_only", "listenonly", settings.listen_only))
    if not _follows(link.bittiming, settings.bitrate, settings.sample_point):
        found.append(LinkChange("bitrate", can={"IFLA_CAN_BITTIMING": timing}))
    if settings.fd:
        data_rate = settings.data_bitrate or settings.bitrate
        if not (link.fd and _follows(link.data_bittiming, data_rate, None)):
            # The kernel accepts these only together (can_validate).
            mode = _mode("data_bitrate" if link.fd else "fd", "fd", on=True)
            rates = {"IFLA_CAN_BITTIMING": timing, "IFLA_CAN_DATA_BITTIMING": _timing(data_rate, None)}
            found.append(mode._replace(can={**mode.can, **rates}))
    elif link.fd:
        found.append(_mode("fd", "fd", on=False))
    if settings.restart_ms is not None and settings.restart_ms != link.restart_ms:
        found.append(LinkChange("restart_ms", can={"IFLA_CAN_RESTART_MS": settings.restart_ms}))
    return found


def _virtual_changes(link: Link, settings: SocketcanSettings) -> list[LinkChange]:
    """Return the changes of a virtual link, which has no bitrate or modes; its MTU limits the length of frames."""
    return [LinkChange("fd", mtu=CANFD_MTU)] if settings.fd and link.mtu < CANFD_MTU else []


def _mode(key: str, mode: str, on: bool) -> LinkChange:
    return LinkChange(key, can={"IFLA_CAN_CTRLMODE": {mode: "on" if on else "off"}})


def _timing(bitrate: int, sample_point: float | None) -> dict[str, int]:
    """Return the values for a struct can_bittiming; sample point 0 leaves the choice to the kernel."""
    return {"bitrate": bitrate, "sample_point": round((sample_point or 0) * 1000)}


def _follows(timing: LinkTiming | None, bitrate: int, sample_point: float | None) -> bool:
    if timing is None or abs(timing.bitrate - bitrate) > bitrate * _SAME_RATE:
        return False
    if sample_point is None or not timing.quanta:
        return True
    # The sample point is at the end of a quantum; the kernel chooses the last quantum that ends before `sample_point`.
    return abs(timing.sample_point - sample_point) < 1 / timing.quanta


def refusal_failure(
    link: Link, settings: SocketcanSettings, change: LinkChange, refusal: OSError
) -> BusFailure:
    """Return the failure of the bus if the kernel refuses a change of its link."""
    channel, key, reason = settings.channel, change.key, refusal.strerror
    if key == "fd" and settings.fd and refusal.errno != errno.EOPNOTSUPP:
        key = "data_bitrate"
    if refusal.errno in FORBIDDEN:
        return SettingsRefused(_no_permission(settings, link))
    if refusal.errno == errno.ENODEV:
        return AdapterAbsent(f"interface {channel} went away while it was set up.")
    if refusal.errno in _REFUSALS and key:
        return SettingsRefused(f"{_refused_keys(settings, key)} ({reason}). {_remedy(key, link)}")
    if refusal.errno in _REFUSALS:
        return SettingsRefused(
            f"{channel} cannot be brought up with these settings ({reason}). "
            "Check bitrate and data_bitrate; dmesg may say more."
        )
    return BusError(f"{channel} could not be set up: {reason}.")


def _refused_keys(settings: SocketcanSettings, key: str) -> str:
    keys = {key: values(settings)[key]}
    if key == "bitrate" and settings.sample_point:
        keys["sample_point"] = settings.sample_point
    if key == "fd" and settings.fd:
        keys["data_bitrate"] = settings.data_bitrate or settings.bitrate
    words = " and ".join(f"{name} = {str(value).lower()}" for name, value in keys.items())
    return f"{settings.channel} does not accept {words}"


def _remedy(key: str, link: Link) -> str:
    match key:
        case "bitrate" if link.bitrates:
            return f"It accepts {', '.join(map(str, link.bitrates))}."
        case "restart_ms":
            return "Remove restart_ms: cancorderd then restarts a link that is bus-off."
        case "listen_only" | "fd":
            return f"Change {key}, or use another adapter."
    return f"Write a {key} that its clock can make; ip -d link show {link.name} shows its limits."


def up_command(link: Link, settings: SocketcanSettings) -> str:
    """Return the command that sets a link up as the bus wants it. It works while the link is down."""
    if link.kind != "can":  # virtual: without bitrates
        mtu = f" mtu {CANFD_MTU}" if settings.fd and link.mtu < CANFD_MTU else ""
        return f"ip link set {settings.channel} up{mtu}"
    fd = f" dbitrate {settings.data_bitrate or settings.bitrate} fd on" if settings.fd else ""
    return f"ip link set {settings.channel} up type can bitrate {settings.bitrate}{fd}"


def _no_permission(settings: SocketcanSettings, link: Link) -> str:
    return (
        f"no permission to set up {settings.channel} as user id {os.geteuid()}: CAP_NET_ADMIN is missing. "
        "Give it to the service (AmbientCapabilities=CAP_NET_ADMIN in a drop-in of the unit), run the daemon as "
        f"root, or write configure = false and set the link up yourself: {up_command(link, settings)}"
    )


def link_details(link: Link, settings: SocketcanSettings) -> dict[str, str]:
    """Return the link as `status` shows it; `differs` names the keys of the bus that it does not follow."""
    shown = {
        "link": "up" if link.running else "up, no carrier",
        **_timing_details("bitrate", link.bittiming),
        **_timing_details("data_bitrate", link.data_bittiming),
    }
    if link.listen_only:
        shown["listen_only"] = "true"
    if link.restart_ms:
        shown["restart_ms"] = str(link.restart_ms)
    if link.mtu > CANFD_MTU:
        shown["xl"] = "the link carries CAN XL, whose frames are not received"
    if link.errors:
        shown["errors"] = f"transmit {link.errors[0]}, receive {link.errors[1]}"
    if keys := differing(link, settings):
        shown["differs"] = ", ".join(keys)
    shown["overruns"], shown["dropped"] = str(link.overruns), str(link.dropped)
    return shown


def _timing_details(key: str, timing: LinkTiming | None) -> dict[str, str]:
    if timing is None:
        return {}
    point = f", sample point {timing.sample_point:g}" if timing.sample_point else ""
    return {key: f"{timing.bitrate}{point}"}


def link_bus_off_reason(link: Link, settings: SocketcanSettings) -> str:
    """Return the reason of a link that is bus-off, with the way to restart it."""
    name = settings.channel
    reason = failures.bus_off_reason(name)
    if settings.configure:
        return f"{reason} It is restarted."
    if link.restart_ms:
        return f"{reason} It has not restarted by itself: ip link set {name} down; ip link set {name} up"
    # Not `type can restart`: drivers such as gs_usb refuse that.
    return (
        f"{reason} Then restart it: ip link set {name} down; ip link set {name} up. "
        "With configure = true, or with restart-ms set on the link, that happens by itself."
    )
