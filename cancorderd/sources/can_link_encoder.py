"""A step of `can_link_settings` as a netlink message, by pyroute2. Pure but for the import.

Only pyroute2's messages are used. Its package imports all that it can do beside them (sockets over
asyncio, a database, DHCP): 17 MiB and 0.2 s of processor for each worker. The messages alone take 2 MiB
and 0.03 s, so the package's own `__init__` is passed over; releases 0.8 to 0.9 stand that.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cancorderd.sources.can_link_settings import Step

_PACKAGE = "pyroute2"
_RTM_NEWLINK = 16
_REQUEST_AND_ACKNOWLEDGE = 0x01 | 0x04
_IFF_UP = 0x1


def encode(number: int, step: Step, sequence: int) -> bytes:
    """The step for the interface with this number; the kernel answers it with an acknowledgement."""
    message = message_class()()
    message["index"] = number
    if step.up is not None:
        message["change"], message["flags"] = _IFF_UP, _IFF_UP if step.up else 0
    if step.mtu is not None:
        message["attrs"].append(("IFLA_MTU", step.mtu))
    if step.can:
        data = {"attrs": list(step.can.items())}
        info = {"attrs": [("IFLA_INFO_KIND", "can"), ("IFLA_INFO_DATA", data)]}
        message["attrs"].append(("IFLA_LINKINFO", info))
    message["header"].update(type=_RTM_NEWLINK, flags=_REQUEST_AND_ACKNOWLEDGE, sequence_number=sequence)
    message.encode()
    return bytes(message.data)


def message_class() -> Any:
    """What pyroute2 calls a link; loads it at the first call, which takes a while."""
    if _PACKAGE not in sys.modules:
        found = importlib.util.find_spec(_PACKAGE)
        if found and found.submodule_search_locations:
            bare = ModuleType(_PACKAGE)
            bare.__path__ = list(found.submodule_search_locations)
            bare.__spec__ = found
            sys.modules[_PACKAGE] = bare
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg  # noqa: PLC0415 - only where a link is set up

    return ifinfmsg
