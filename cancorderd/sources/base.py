"""What a source is: one open CAN bus, as the worker sees it.

Decoders are pure, at the top of a source's module or, where they are long, in one beside it; the rest is the
thin shell that reads the device. It opens in its constructor and raises only what `errors` holds: `AdapterAbsent` where the
device is not there (the worker waits for it), `SettingsRefused` where it cannot do what is asked,
`BusError` for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cancorderd.frame import Batch


class Source(Protocol):
    """One open CAN bus. Whoever opened it calls `close` on every way out."""

    error_frames: int
    """Error frames and malformed input so far."""
    remote_frames: int
    lost_kernel: int
    lost_adapter: int
    controller: str | None
    """error-active, error-warning, error-passive or bus-off (ISO 11898-1); None where nothing tells."""
    details: dict[str, str]

    def fileno(self) -> int | None:
        """Readable when `read` has something to do; None for a source that goes by the clock."""

    def due(self, now_s: float) -> float | None:
        """In how many seconds `read` wants to be called even if nothing became readable."""

    def read(self, now_s: float) -> Batch:
        """Whole packets of all that has arrived; never waits. `now_s` is the monotonic clock.

        Raises BusError when the bus or its adapter failed.
        """

    def audience(self, clients: int, now_s: float) -> None:
        """Told when the number of connected clients changes."""

    def close(self) -> None:
        """Release the device. Safe to call twice; raises nothing."""


class Counted:
    """The counters of a source, and the answers that most sources give."""

    def __init__(self) -> None:
        self.error_frames = 0
        self.remote_frames = 0
        self.lost_kernel = 0
        self.lost_adapter = 0
        self.controller: str | None = None
        self.details: dict[str, str] = {}

    def fileno(self) -> int | None:
        return None

    def due(self, now_s: float) -> float | None:  # noqa: ARG002
        return None

    def audience(self, clients: int, now_s: float) -> None:
        pass


class Watch(Protocol):
    """Notices at once that an absent adapter may be there. Optional: a source's module has `open_watch` or not.

    An adapter is looked for now and then anyway, so a watch may miss something or tell too much.
    """

    def fileno(self) -> int:
        """Readable when `news` has something to tell."""

    def news(self) -> bool:
        """Takes in what has come: True where it is worth looking for the adapter."""

    def close(self) -> None: ...
