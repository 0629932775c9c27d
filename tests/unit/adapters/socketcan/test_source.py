"""The order of frames and failures, without a CAN socket; the lab has real interfaces."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.error_frames import BusOffPatience
from cancorderd.adapters.failures import BusError
from cancorderd.adapters.socketcan import source as module
from cancorderd.adapters.socketcan.decoder import CanFrameDecoder
from cancorderd.adapters.socketcan.source import SocketcanSource
from cancorderd.protocol.batch import EMPTY_BATCH, Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME = Batch(b"packet", 1)


class Mailbox:
    """A socket's frames, by their number, and its errors, in the order in which calls get them."""

    def __init__(self, *arrivals: int | OSError) -> None:
        self.arrivals = list(arrivals)

    def fill(self, _descriptor: int) -> list[int]:
        arrival = self.arrivals.pop(0) if self.arrivals else 0
        if isinstance(arrival, OSError):
            raise arrival
        return [16] * arrival


class Source(SocketcanSource):
    """A source without a socket; `look` is raised by each look at the link."""

    def __init__(self, *arrivals: int | OSError, look: Exception | None = None) -> None:
        self._channel = "can0"
        self._socket = socket.socket()
        self._links = None
        self._decoder = CanFrameDecoder()
        self._bus_off = BusOffPatience()
        self._failure = None
        self._next_look_s = 0.0
        self.controller = None
        self._mailbox = Mailbox(*arrivals)  # type: ignore[assignment]
        self.look = look

    def _look(self) -> None:
        if self.look:
            raise self.look

    def _decode(self, lengths: list[int]) -> Batch:
        return Batch(FRAME.packets * len(lengths), len(lengths))


@pytest.fixture(autouse=True)
def raw_numbers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let `stop` fail as on a socket that is no CAN socket."""
    assert module._CAN_RAW_FILTER
    yield
    monkeypatch.undo()


def read_to_the_failure(source: Source) -> tuple[int, str]:
    """Return the frames up to the failure, and its text."""
    frames = 0
    with pytest.raises(BusError) as failure:
        for _ in range(10):
            frames += source.read(1.0).frames
            assert source.due(1.0) == 0 or not source._failure, "the loop has to read again at once"
    source.close()
    return frames, str(failure.value)


def test_frames_come_before_the_failure_that_the_kernel_returns_first() -> None:
    down = OSError(errno.ENETDOWN, "Network is down")
    assert read_to_the_failure(Source(3, down, 256, 7)) == (266, "interface can0 went down.")


def test_frames_come_before_the_failure_that_a_look_at_the_link_finds() -> None:
    replaced = BusError("interface can0 has been replaced by another.")
    assert read_to_the_failure(Source(3, 2, look=replaced)) == (5, str(replaced))
    assert read_to_the_failure(Source(3, look=OSError(errno.ENETDOWN, "down"))) == (
        3,
        "interface can0 went down.",
    )


def test_stop_raises_nothing() -> None:
    source = Source(2)
    source.stop()
    assert source.read(1.0).frames == 2
    assert source.read(1.0) == EMPTY_BATCH
    source.close()
