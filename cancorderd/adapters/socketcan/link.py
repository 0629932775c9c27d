"""A CAN network interface, and the netlink messages that read and change it. Pure: bytes in, values out.

Messages from the kernel are read here, and only the parts that a bus needs: every worker reads its link, and pyroute2
takes five times as long for it and 2 to 17 MiB more. Messages to the kernel that change a link are made by pyroute2,
which only a bus with `configure = true` loads. `netlink` has the sockets, `link_setup` decides on the changes.
Layouts: netlink(7), rtnetlink(7), linux/if_link.h, linux/can/netlink.h.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from struct import Struct
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NLMSGHDR = Struct("=IHHII")
_IFINFOMSG = Struct("=BxHiII")
_ATTRIBUTE = Struct("=HH")
_TYPE_MASK = 0x3FFF
"""An attribute's type without NLA_F_NESTED and NLA_F_NET_BYTEORDER."""

_NLMSG_ERROR = 2
_RTM_NEWLINK = 16
_RTM_DELLINK = 17
_RTM_GETLINK = 18
_NLM_F_REQUEST, _NLM_F_ACK = 0x1, 0x4
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200
_NLMSGERR_ATTR_MSG = 1

_IFF_UP = 0x1
_IFF_RUNNING = 0x40
_ARPHRD_CAN = 280

_IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_STATS64 = 3, 4, 18, 23
_INFO_KIND, _INFO_DATA = 1, 2
_CAN_BITTIMING, _CAN_STATE, _CAN_CTRLMODE, _CAN_RESTART_MS = 1, 4, 5, 6
_CAN_BERR_COUNTER, _CAN_DATA_BITTIMING, _CAN_BITRATE_CONST = 8, 9, 13

_U32 = Struct("=I")
_S32 = Struct("=i")
_MAX_ERRNO = 4095
"""From linux/err.h."""
_BITTIMING = Struct("=8I")
_BERR_COUNTER = Struct("=HH")
# struct rtnl_link_stats64: rx_dropped is 7th, rx_over_errors 12th, rx_fifo_errors 15th, rx_missed_errors 16th.
_STATS64 = Struct("=16Q")

_STATES = ("error-active", "error-warning", "error-passive", "bus-off", "stopped", "sleeping")
_LISTEN_ONLY = 0x02
_FD = 0x20


_PYROUTE2 = "pyroute2"


class LinkTiming(NamedTuple):
    """The bit timing that is set on a link."""

    bitrate: int
    sample_point: float
    """A fraction of the bit time; 0 if the driver does not report it."""
    quanta: int
    """Time quanta of a bit; the sample point is at the end of one of them. 0 if the driver does not report them."""


class Link(NamedTuple):
    """A network interface. Facts that only CAN controllers have are None on others, such as vcan."""

    number: int
    name: str
    is_can: bool
    up: bool
    running: bool
    """The driver has a carrier, which a controller that is bus-off may lack."""
    mtu: int
    kind: str
    """can: a controller, which accepts CAN settings; vcan, vxcan; empty if the driver does not report it."""
    dropped: int = 0
    """Received frames that the kernel dropped before any socket got them (rx_dropped)."""
    overruns: int = 0
    """How often a receive buffer of the controller or driver was full (rx_over, rx_fifo and rx_missed errors)."""
    controller: str | None = None
    """error-active, error-warning, error-passive, bus-off, stopped or sleeping."""
    bittiming: LinkTiming | None = None
    data_bittiming: LinkTiming | None = None
    listen_only: bool = False
    fd: bool = False
    restart_ms: int | None = None
    errors: tuple[int, int] | None = None
    """The controller's error counters, transmit and receive (ISO 11898-1)."""
    bitrates: tuple[int, ...] = ()
    """The only bitrates that the driver accepts; empty if it calculates them."""


class LinkChange(NamedTuple):
    """A change of a link: one message to the kernel, so that a refusal is about one key."""

    key: str
    """The bus's key that this applies; empty if it takes the link down or up."""
    up: bool | None = None
    mtu: int | None = None
    can: Mapping[str, Any] = MappingProxyType({})
    """Attributes of a CAN controller, as pyroute2 names them."""


def link_request(name: str, sequence: int) -> bytes:
    """Return the message that asks for the interface with this name (RTM_GETLINK)."""
    text = name.encode() + b"\0"
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(text), _IFLA_IFNAME) + text
    body = _IFINFOMSG.pack(0, 0, 0, 0, 0) + attribute + bytes(-len(attribute) % 4)
    return _NLMSGHDR.pack(_NLMSGHDR.size + len(body), _RTM_GETLINK, _NLM_F_REQUEST, sequence, 0) + body


def link_in(data: bytes, sequence: int) -> Link | None:
    """Return the link in the answer to `link_request`; None if `data` is no answer to it.

    Raises OSError if the kernel answers with an error: ENODEV if there is no such interface.
    """
    for kind, _, number, body in _messages(data):
        if number == sequence and kind == _NLMSG_ERROR:
            raise _refusal(body, has_text=False)
        if number == sequence and kind == _RTM_NEWLINK:
            return _link(body)
    return None


def acknowledged(data: bytes, sequence: int) -> bool:
    """Return whether `data` acknowledges the message with this sequence number. Raises OSError if it refuses it."""
    for kind, flags, number, body in _messages(data):
        if number == sequence and kind == _NLMSG_ERROR:
            if _error_number(body):
                raise _refusal(body, has_text=bool(flags & _NLM_F_ACK_TLVS and flags & _NLM_F_CAPPED))
            return True
    return False


def _error_number(body: bytes) -> int:
    """Return the errno of an NLMSG_ERROR, 0 for an acknowledgement; EPROTO if the kernel has no such number."""
    if len(body) < _S32.size:
        return errno.EPROTO
    code = -_S32.unpack_from(body)[0]
    return code if 0 <= code <= _MAX_ERRNO else errno.EPROTO


def _refusal(body: bytes, has_text: bool) -> OSError:
    """Return the error in a message, in the kernel's own words if it `has_text`.

    The text follows the header of the refused message (NETLINK_EXT_ACK, NETLINK_CAP_ACK).
    """
    code = _error_number(body)
    text = _attributes(body[_S32.size + _NLMSGHDR.size :]).get(_NLMSGERR_ATTR_MSG, b"") if has_text else b""
    return OSError(code, _text(text).rstrip(".") or os.strerror(code))


def change_request(number: int, change: LinkChange, sequence: int) -> bytes:
    """Return the message that changes the interface with this number; the kernel acknowledges it."""
    message = load_message_class()()
    message["index"] = number
    if change.up is not None:
        message["change"], message["flags"] = _IFF_UP, _IFF_UP if change.up else 0
    if change.mtu is not None:
        message["attrs"].append(("IFLA_MTU", change.mtu))
    if change.can:
        data = {"attrs": list(change.can.items())}
        info = {"attrs": [("IFLA_INFO_KIND", "can"), ("IFLA_INFO_DATA", data)]}
        message["attrs"].append(("IFLA_LINKINFO", info))
    message["header"].update(type=_RTM_NEWLINK, flags=_NLM_F_REQUEST | _NLM_F_ACK, sequence_number=sequence)
    message.encode()
    return bytes(message.data)


def load_message_class() -> Any:
    """Return pyroute2's class of messages about links. The first call loads it, which takes a while.

    Importing pyroute2 itself imports everything that it offers (sockets over asyncio, a database, DHCP): 17 MiB and
    0.2 s of processor time for each worker. The messages alone take 2 MiB and 0.03 s, so the package's `__init__` is
    bypassed; releases 0.8 to 0.9 work without it.
    """
    if _PYROUTE2 not in sys.modules:
        found = importlib.util.find_spec(_PYROUTE2)
        if found and found.submodule_search_locations:
            bare = ModuleType(_PYROUTE2)
            bare.__path__ = list(found.submodule_search_locations)
            bare.__spec__ = found
            sys.modules[_PYROUTE2] = bare
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg  # noqa: PLC0415 - only if a link is set up

    return ifinfmsg


def notified_names(data: bytes) -> set[str]:
    """Return the names of the interfaces in these notifications: new, changed or gone."""
    return {
        _name(_attributes(body[_IFINFOMSG.size :]))
        for kind, _, _, body in _messages(data)
        if kind in (_RTM_NEWLINK, _RTM_DELLINK)
    }


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield type, flags, sequence number and body of each message that is long enough to be read here."""
    at = 0
    while at + _NLMSGHDR.size <= len(data):
        size, kind, flags, sequence, _ = _NLMSGHDR.unpack_from(data, at)
        if size < _NLMSGHDR.size or at + size > len(data):
            return
        if size >= _NLMSGHDR.size + _IFINFOMSG.size:
            yield kind, flags, sequence, data[at + _NLMSGHDR.size : at + size]
        at += size + -size % 4


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size or at + size > len(data):
            break
        found[kind & _TYPE_MASK] = data[at + _ATTRIBUTE.size : at + size]
        at += size + -size % 4
    return found


def _link(body: bytes) -> Link:
    _, hardware, index, flags, _ = _IFINFOMSG.unpack_from(body)
    attributes = _attributes(body[_IFINFOMSG.size :])
    info = _attributes(attributes.get(_IFLA_LINKINFO, b""))
    kind = _text(info.get(_INFO_KIND, b""))
    link = Link(
        index,
        _name(attributes),
        hardware == _ARPHRD_CAN,
        bool(flags & _IFF_UP),
        bool(flags & _IFF_RUNNING),
        _number(attributes.get(_IFLA_MTU)) or 0,
        kind,
    )
    if len(stats := attributes.get(_IFLA_STATS64, b"")) >= _STATS64.size:
        counts = _STATS64.unpack_from(stats)
        link = link._replace(dropped=counts[6], overruns=counts[11] + counts[14] + counts[15])
    return _with_controller(link, _attributes(info.get(_INFO_DATA, b""))) if kind == "can" else link


def _with_controller(link: Link, data: dict[int, bytes]) -> Link:
    state = _number(data.get(_CAN_STATE))
    modes = _U32.unpack_from(data[_CAN_CTRLMODE], 4)[0] if len(data.get(_CAN_CTRLMODE, b"")) >= 8 else 0
    errors = data.get(_CAN_BERR_COUNTER, b"")
    rates = data.get(_CAN_BITRATE_CONST, b"")
    return link._replace(
        controller=_STATES[state] if state is not None and state < len(_STATES) else None,
        bittiming=_link_timing(data.get(_CAN_BITTIMING, b"")),
        data_bittiming=_link_timing(data.get(_CAN_DATA_BITTIMING, b"")),
        listen_only=bool(modes & _LISTEN_ONLY),
        fd=bool(modes & _FD),
        restart_ms=_number(data.get(_CAN_RESTART_MS)),
        errors=_BERR_COUNTER.unpack(errors) if len(errors) == _BERR_COUNTER.size else None,
        bitrates=tuple(rate for (rate,) in _U32.iter_unpack(rates[: len(rates) // 4 * 4])),
    )


def _link_timing(data: bytes) -> LinkTiming | None:
    """Return the timing in a struct can_bittiming; None if none is set."""
    if len(data) < _BITTIMING.size:
        return None
    bitrate, sample_point, _, propagation, phase_1, phase_2, _, _ = _BITTIMING.unpack_from(data)
    # The first quantum of a bit is the synchronisation segment.
    segments = propagation + phase_1 + phase_2
    return LinkTiming(bitrate, sample_point / 1000, segments + 1 if segments else 0) if bitrate else None


def _number(data: bytes | None) -> int | None:
    return int(_U32.unpack_from(data)[0]) if data is not None and len(data) >= _U32.size else None


def _name(attributes: dict[int, bytes]) -> str:
    return _text(attributes.get(_IFLA_IFNAME, b""))


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
