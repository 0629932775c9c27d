"""What a bus with `configure = true` wants of its link, and what is said where the kernel refuses it. Pure.

`can_link_encoder` turns the steps into messages, `can_link` sends them.
"""

from __future__ import annotations

import errno
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from cancorderd.errors import AdapterAbsent, BusError, BusFailure, SettingsRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cancorderd.config.model import SocketcanBus
    from cancorderd.sources.can_link_messages import Bittiming, Link

CANFD_MTU = 72
_SAME_RATE = 0.005
"""A driver tells the rate that its clock can make; so little beside the one asked for is the same on the wire."""
_REFUSALS = (errno.EINVAL, errno.EOPNOTSUPP, errno.ERANGE, errno.EDOM)


class Step(NamedTuple):
    """One message to the kernel, so that a refusal is about one key."""

    key: str
    """The bus's key that this sets; empty for what takes the link down or up."""
    up: bool | None = None
    mtu: int | None = None
    can: Mapping[str, Any] = MappingProxyType({})
    """Attributes of a CAN controller, as pyroute2 names them."""


def steps(link: Link, section: SocketcanBus) -> list[Step]:
    """What makes `link` as `section` says; none where it is right already, so that it stays up.

    Settings can only be changed while the link is down (linux/drivers/net/can/dev/netlink.c). A
    controller that is bus-off starts anew with it: not every driver can be restarted otherwise.
    """
    changes = _controller(link, section) if link.kind == "can" else _virtual(link, section)
    if link.up and not changes and link.controller != "bus-off":
        return []
    down = [Step("", up=False)] if link.up else []
    return [*down, *changes, Step("", up=True)]


def differing(link: Link, section: SocketcanBus) -> list[str]:
    """The keys of `section` that `link` does not follow."""
    return [step.key for step in _controller(link, section)] if link.kind == "can" else []


def _controller(link: Link, section: SocketcanBus) -> list[Step]:
    found = []
    timing = _timing(section.bitrate, section.sample_point)
    if link.listen_only != section.listen_only:
        found.append(_mode("listen_only", "listenonly", section.listen_only))
    if not _follows(link.bittiming, section.bitrate, section.sample_point):
        found.append(Step("bitrate", can={"IFLA_CAN_BITTIMING": timing}))
    if section.fd:
        data_rate = section.data_bitrate or section.bitrate
        if not (link.fd and _follows(link.data_bittiming, data_rate, None)):
            # The kernel wants these together (can_validate).
            mode = _mode("data_bitrate" if link.fd else "fd", "fd", on=True)
            rates = {"IFLA_CAN_BITTIMING": timing, "IFLA_CAN_DATA_BITTIMING": _timing(data_rate, None)}
            found.append(mode._replace(can={**mode.can, **rates}))
    elif link.fd:
        found.append(_mode("fd", "fd", on=False))
    if section.restart_ms is not None and section.restart_ms != link.restart_ms:
        found.append(Step("restart_ms", can={"IFLA_CAN_RESTART_MS": section.restart_ms}))
    return found


def _virtual(link: Link, section: SocketcanBus) -> list[Step]:
    """Virtual links have neither bitrate nor modes; how long their frames are is the MTU."""
    return [Step("fd", mtu=CANFD_MTU)] if section.fd and link.mtu < CANFD_MTU else []


def _mode(key: str, mode: str, on: bool) -> Step:
    return Step(key, can={"IFLA_CAN_CTRLMODE": {mode: "on" if on else "off"}})


def _timing(bitrate: int, sample_point: float | None) -> dict[str, int]:
    """For struct can_bittiming; sample point 0 is the kernel's choice."""
    return {"bitrate": bitrate, "sample_point": round((sample_point or 0) * 1000)}


def _follows(has: Bittiming | None, bitrate: int, sample_point: float | None) -> bool:
    if has is None or abs(has.bitrate - bitrate) > bitrate * _SAME_RATE:
        return False
    # The point can only be at the end of a quantum, and the kernel takes the one ahead of what is asked.
    return sample_point is None or not has.quanta or abs(has.sample_point - sample_point) < 1 / has.quanta


def failure(link: Link, section: SocketcanBus, step: Step, refusal: OSError) -> BusFailure:
    """What it means for the bus that the kernel refused a step."""
    channel, key, why = section.channel, step.key, refusal.strerror
    if key == "fd" and section.fd and refusal.errno != errno.EOPNOTSUPP:
        key = "data_bitrate"
    if refusal.errno in (errno.EPERM, errno.EACCES):
        return SettingsRefused(_no_permission(section, link))
    if refusal.errno == errno.ENODEV:
        return AdapterAbsent(f"interface {channel} went away while it was set up.")
    if refusal.errno in _REFUSALS and key:
        return SettingsRefused(f"{_what(section, key, channel)} ({why}). {_remedy(key, link)}")
    if refusal.errno in _REFUSALS:
        return SettingsRefused(
            f"{channel} cannot be brought up with these settings ({why}). "
            "Check bitrate and data_bitrate; dmesg may tell more."
        )
    return BusError(f"{channel} could not be set up: {why}.")


def _what(section: SocketcanBus, key: str, channel: str) -> str:
    keys = {key: getattr(section, key)}
    if key == "bitrate" and section.sample_point:
        keys["sample_point"] = section.sample_point
    if key == "fd" and section.fd:
        keys["data_bitrate"] = section.data_bitrate or section.bitrate
    words = " and ".join(f"{name} = {str(value).lower()}" for name, value in keys.items())
    return f"{channel} does not take {words}"


def _remedy(key: str, link: Link) -> str:
    match key:
        case "bitrate" if link.bitrates:
            return f"It takes {', '.join(map(str, link.bitrates))}."
        case "restart_ms":
            return "Remove restart_ms: a link that is bus-off is then restarted by cancorderd."
        case "listen_only" | "fd":
            return f"Change {key}, or use another adapter."
    return f"Write a {key} that its clock can make; ip -d link show {link.name} tells what it takes."


def _no_permission(section: SocketcanBus, link: Link) -> str:
    words = f"type can bitrate {section.bitrate}" if link.kind == "can" else ""
    up = f"ip link set {section.channel} up {words}".strip()
    return (
        f"no permission to set up {section.channel} as user id {os.geteuid()}: that takes CAP_NET_ADMIN. "
        "Give it to the service (AmbientCapabilities=CAP_NET_ADMIN in a drop-in of the unit), run the daemon as "
        f"root, or write configure = false and set the link up yourself: {up}"
    )
