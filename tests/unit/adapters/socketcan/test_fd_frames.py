"""The socket is asked for CAN FD frames whatever the key `fd` says; tests/lab has a real kernel."""

from __future__ import annotations

from typing import Any

import pytest

from cancorderd.adapters.socketcan.settings import SocketcanSettings
from cancorderd.adapters.socketcan.source import SocketcanSource
from cancorderd.config.bus_settings import Filter

SOL_CAN_RAW, CAN_RAW_FD_FRAMES = 101, 5
"""linux/can/raw.h."""


class Socket:
    """Records the calls of a source that prepares its socket."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def setsockopt(self, *option: Any) -> None:
        assert ("bind",) not in self.calls, "a frame may arrive before the option is set"
        self.calls.append(option)

    def bind(self, _address: tuple[str]) -> None:
        self.calls.append(("bind",))


@pytest.mark.parametrize(
    "keys", [{}, {"fd": True}, {"prefer_fd": True}, {"filters": (Filter(id=1),)}, {"listen_only": True}]
)
def test_fd_frames_are_asked_for(keys: dict[str, Any]) -> None:
    settings = SocketcanSettings(name="a", interface="socketcan", channel="can0", **keys)
    source = SocketcanSource.__new__(SocketcanSource)
    sock = source._socket = Socket()  # type: ignore[assignment]
    source._prepare(settings)
    assert (SOL_CAN_RAW, CAN_RAW_FD_FRAMES, 1) in sock.calls
