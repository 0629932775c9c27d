"""CAN network interfaces as the kernel's routing netlink tells of them. Pure: bytes in, values out.

Only what a bus needs to know of its link. pyroute2 would read all of it, but takes five times as long
and 2 to 17 MiB more in each worker (`can_link_encoder`), where reading is every worker's business.
Layouts: netlink(7), rtnetlink(7), linux/if_link.h, linux/can/netlink.h.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_NLMSGHDR = Struct("=IHHII")
_IFINFOMSG = Struct("=BxHiII")
_ATTRIBUTE = Struct("=HH")
_TYPE_MASK = 0x3FFF
"""An attribute's type without NLA_F_NESTED and NLA_F_NET_BYTEORDER."""

_NLMSG_ERROR = 2
_RTM_NEWLINK = 16
_RTM_DELLINK = 17
_RTM_GETLINK = 18
_NLM_F_REQUEST = 1
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
_BITTIMING = Struct("=8I")
_BERR_COUNTER = Struct("=HH")
# struct rtnl_link_stats64: rx_dropped is 7th, rx_over_errors 12th, rx_fifo_errors 15th, rx_missed_errors 16th.
_STATS64 = Struct("=16Q")

_STATES = ("error-active", "error-warning", "error-passive", "bus-off", "stopped", "sleeping")
_LISTEN_ONLY = 0x02
_FD = 0x20


class Bittiming(NamedTuple):
    bitrate: int
    sample_point: float
    """A fraction of the bit time; 0 where the driver does not tell."""
    quanta: int
    """Time quanta of a bit: the sample point is at the end of one of them. 0 where the driver does not tell."""


class Link(NamedTuple):
    """A network interface. What only CAN controllers have is None elsewhere, as on vcan."""

    number: int
    name: str
    is_can: bool
    up: bool
    running: bool
    """The driver has a carrier; a controller that is bus-off may lack it."""
    mtu: int
    kind: str
    """can: a controller, which takes CAN settings; vcan, vxcan; empty where the driver does not say."""
    dropped: int = 0
    """Received frames that the kernel threw away ahead of every socket (rx_dropped)."""
    overruns: int = 0
    """Receive buffers of the controller or the driver that were full (rx_over, rx_fifo and rx_missed errors)."""
    controller: str | None = None
    """error-active, error-warning, error-passive, bus-off, stopped or sleeping."""
    bittiming: Bittiming | None = None
    data_bittiming: Bittiming | None = None
    listen_only: bool = False
    fd: bool = False
    restart_ms: int | None = None
    errors: tuple[int, int] | None = None
    """The controller's counters for transmitting and receiving (ISO 11898-1)."""
    bitrates: tuple[int, ...] = ()
    """The only ones that the driver takes; empty where it calculates them."""


def request(name: str, sequence: int) -> bytes:
    """RTM_GETLINK for the interface with this name."""
    text = name.encode() + b"\0"
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(text), _IFLA_IFNAME) + text
    body = _IFINFOMSG.pack(0, 0, 0, 0, 0) + attribute + bytes(-len(attribute) % 4)
    return _NLMSGHDR.pack(_NLMSGHDR.size + len(body), _RTM_GETLINK, _NLM_F_REQUEST, sequence, 0) + body


def answer(data: bytes, sequence: int) -> Link | None:
    """The link in an answer to `request`; None where this is no answer to it.

    Raises OSError where the kernel answers that there is none (ENODEV), or another error.
    """
    for kind, _, number, body in _messages(data):
        if number == sequence and kind == _NLMSG_ERROR:
            raise _refusal(body, told=False)
        if number == sequence and kind == _RTM_NEWLINK:
            return _link(body)
    return None


def acknowledged(data: bytes, sequence: int) -> bool:
    """Whether this is the kernel's acknowledgement of a message. Raises OSError where it refuses."""
    for kind, flags, number, body in _messages(data):
        if number == sequence and kind == _NLMSG_ERROR:
            if _S32.unpack_from(body)[0]:
                raise _refusal(body, told=bool(flags & _NLM_F_ACK_TLVS and flags & _NLM_F_CAPPED))
            return True
    return False


def _refusal(body: bytes, told: bool) -> OSError:
    """`told`: the kernel's own words stand behind the message's header (NETLINK_EXT_ACK, NETLINK_CAP_ACK)."""
    code = -_S32.unpack_from(body)[0]
    words = _attributes(body[_S32.size + _NLMSGHDR.size :]).get(_NLMSGERR_ATTR_MSG, b"") if told else b""
    return OSError(code, _text(words).rstrip(".") or os.strerror(code))


def names(data: bytes) -> set[str]:
    """The interfaces that these notifications are about: new, changed or gone."""
    return {
        _name(_attributes(body[_IFINFOMSG.size :]))
        for kind, _, _, body in _messages(data)
        if kind in (_RTM_NEWLINK, _RTM_DELLINK)
    }


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and body of each that is long enough to be one of those read here."""
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
        bittiming=_bittiming(data.get(_CAN_BITTIMING, b"")),
        data_bittiming=_bittiming(data.get(_CAN_DATA_BITTIMING, b"")),
        listen_only=bool(modes & _LISTEN_ONLY),
        fd=bool(modes & _FD),
        restart_ms=_number(data.get(_CAN_RESTART_MS)),
        errors=_BERR_COUNTER.unpack(errors) if len(errors) == _BERR_COUNTER.size else None,
        bitrates=tuple(rate for (rate,) in _U32.iter_unpack(rates[: len(rates) // 4 * 4])),
    )


def _bittiming(data: bytes) -> Bittiming | None:
    """From struct can_bittiming; None where none is set."""
    if len(data) < _BITTIMING.size:
        return None
    bitrate, sample_point, _, propagation, phase_1, phase_2, _, _ = _BITTIMING.unpack_from(data)
    # The first quantum of a bit is the synchronisation segment.
    segments = propagation + phase_1 + phase_2
    return Bittiming(bitrate, sample_point / 1000, segments + 1 if segments else 0) if bitrate else None


def _number(data: bytes | None) -> int | None:
    return int(_U32.unpack_from(data)[0]) if data is not None and len(data) >= _U32.size else None


def _name(attributes: dict[int, bytes]) -> str:
    return _text(attributes.get(_IFLA_IFNAME, b""))


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
