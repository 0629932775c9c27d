"""The contract between an adapter and the worker: `Source`, an open CAN bus, and `ArrivalWatch`.

A worker serves one bus. It opens the source through `registry.open_source`, reads it until the bus ends, and closes
it. This page is for whoever writes a source; tests/unit/adapters/test_contract.py checks it for every adapter.

Division of labour. A decoder is pure: bytes or messages in, a `Batch` of whole wire packets out, and counters. It
opens nothing, waits for nothing, gets the time as an argument and builds no object per frame. The source is the thin
shell around it: it opens the device, reads it, and sets it up.

Threads. The worker has one thread and one selector, and that thread makes every call below. A driver that can only
wait gets a thread of its own (`read_thread.ReadThread`), and the source reads what that thread has gathered.

Opening. The constructor opens the device and returns a running bus, proved to work as configured, or one that is still
being proved: then `waiting` is the reason, and `read` goes on with the proof. The constructor raises
`AdapterAbsent` if the device is not there or may not be opened (the worker stays, shows the reason and tries again at
least every second), `SettingsRefused` if the adapter cannot do what the settings ask for (the bus fails until its
configuration changes), `BusError` for everything else (the worker exits and is restarted after a delay). It raises
nothing else, and releases what it has opened before it raises. Errors of libraries and of the system are translated at
this edge; the reasons are sentences as `failures` has them: place, fact, remedy.

Loss. Every frame that a source knows to be lost is counted, in `lost_kernel` or `lost_adapter`. Remote frames,
error frames and malformed input have no form on the wire: they are counted, and not sent. While somebody inside the
machine reads remote and error frames (`internal`), they are returned beside the packets. From input that is partly
malformed, the good part is sent. Every packet passes the check of `protocol.packets.head`. The counters belong to the source: only it changes them, and the worker reads them once a second. They start at 0
with each source; the worker adds them up over restarts.

Time. Stamps in packets are microseconds since the Unix epoch, as good as the adapter has them (`device_clock` maps a
clock that counts from power-up), and never run backwards. `now_s` in the calls below is the monotonic clock in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cancorderd.protocol.batch import Batch


class Source(Protocol):
    """An open CAN bus."""

    error_frames: int
    """Error frames and malformed input so far."""
    remote_frames: int
    """Remote frames so far."""
    lost_kernel: int
    """Frames that the kernel or its driver dropped before the source could read them."""
    lost_adapter: int
    """Frames that the adapter dropped: one for each overrun flag if it does not count them."""
    controller: str | None
    """error-active, error-warning, error-passive or bus-off (ISO 11898-1); None if the adapter does not report it."""
    internal: bool
    """Whether `read` also returns remote and error frames, in `Batch.complete`; the worker sets it before a read."""
    details: dict[str, str]
    """Facts about the adapter for `status`, such as its firmware. Never None; may change while the bus runs."""
    waiting: str
    """Why the bus is not running yet, as a sentence; empty once the adapter is proved to work as configured."""
    setting_up: bool
    """Whether `waiting` is the usual course of a set-up, which takes a moment: a bus that is `starting` stays so."""
    proving: bool
    """Whether the adapter is there and its set-up goes on, however long: frames on the bus are lost meanwhile."""
    notices: list[tuple[str, str]]
    """Level and text of sentences for the log. The worker takes them after each read; the source adds each once."""
    narration: list[tuple[str, str]]
    """The same, of sentences that are no events: what a simulation does."""
    paced: bool
    """Whether frames can wait for the clients: then the worker sets `room` before it calls `due` and `read`."""
    resumable: bool
    """Whether the next worker's source goes on at `position`: the worker reports it soon after each batch."""
    room: int
    """Bytes of packets that the slowest client has room for."""

    def fileno(self) -> int | None:
        """Return the descriptor that is readable when `read` has something to do.

        None if the source goes by the clock alone. The worker asks after opening and before closing, and expects the
        same answer both times.
        """

    def due(self, now_s: float) -> float | None:
        """Return in how many seconds `read` has to be called even if nothing becomes readable.

        0 or less means now; None means never. Called before each wait, so it must be cheap.
        """

    def read(self, now_s: float) -> Batch:
        """Return whole packets of everything that has arrived, or an empty batch.

        Never waits. Called when the descriptor is readable or `due` has passed, and may be called at any other time.
        Housekeeping (asking for status, noticing a stuck driver) happens here too. Raises BusError when the bus or its
        adapter has failed; while `waiting`, also SettingsRefused if the adapter refuses the settings, and AdapterAbsent if
        another adapter is to be looked for; the frames that arrived before the failure are returned first. Not called again after that.
        """

    def audience(self, clients: int, now_s: float) -> None:
        """Take note that `clients` are connected now.

        Called once after opening, and whenever a client comes or goes. A simulated bus starts and stops by it; real
        adapters do nothing.
        """

    def position(self) -> str:
        """Return the place at which the next worker's source has to go on (`BusSettings.resume`); empty for a real adapter."""

    def stop(self) -> None:
        """Let no more frames arrive, as far as the adapter can; `read` returns those that have arrived.

        Called before an end in good order, so that every frame is either delivered or was never taken from the bus.
        Waits a moment at most, and raises nothing.
        """

    def close(self) -> None:
        """Release the device, so that it can be opened again at once. Raises nothing.

        Safe to call twice, after a failure, and from a constructor that is about to raise. The worker calls it on every
        way out; if it does not return, the worker is killed.
        """


class BaseSource:
    """The counters of a source, and the answers that most sources give."""

    def __init__(self) -> None:
        self.error_frames = 0
        self.remote_frames = 0
        self.lost_kernel = 0
        self.lost_adapter = 0
        self.controller: str | None = None
        self.internal = False
        self.details: dict[str, str] = {}
        self.waiting = ""
        self.setting_up = self.proving = False
        self.notices: list[tuple[str, str]] = []
        self.narration: list[tuple[str, str]] = []
        self.paced = self.resumable = False
        self.room = 0

    def fileno(self) -> int | None:
        return None

    def report_clock(self, place: str, fault: str) -> None:
        """Say once, in the details and the log, what is wrong with the adapter's clock; nothing if `fault` is empty."""
        if fault and self.details.get("clock") != fault:
            self.details["clock"] = fault
            self.notices.append(("warning", f"{place}: the adapter's clock is {fault}."))

    def due(self, now_s: float) -> float | None:  # noqa: ARG002
        return None

    def audience(self, clients: int, now_s: float) -> None:
        pass

    def position(self) -> str:
        return ""

    def stop(self) -> None:
        pass


class ArrivalWatch(Protocol):
    """Notices at once that an absent adapter may have arrived. Optional: see the rows of `registry`.

    The worker looks for the adapter now and then anyway, so a watch may miss an arrival or report too many.
    """

    def fileno(self) -> int:
        """Return the descriptor that is readable when `arrived` has something to do."""

    def arrived(self) -> bool:
        """Consume the notifications so far; return whether it is worth looking for the adapter. Never waits."""

    def close(self) -> None:
        """Release the descriptor. Called once."""
