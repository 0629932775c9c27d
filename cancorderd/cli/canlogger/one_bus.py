"""One bus in the foreground until Ctrl+C: the common part of the three one-bus commands.

The event loop supervises the bus as the daemon does: it opens the first candidate of a `Plan` that works, serves it
until the end is requested, and pushes every line, report and frame stream to the `Printer`. The printer's thread
writes them to standard output and sees nothing of the loop but these values.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import math
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cancorderd.cli.canlogger import log_handler
from cancorderd.cli.canlogger.common_options import BUS_NAME
from cancorderd.cli.canlogger.output_lines import RED, YELLOW, FrameLines
from cancorderd.cli.canlogger.printer import Printer
from cancorderd.config.configuration import Configuration
from cancorderd.control.protocol import Exit
from cancorderd.ipc.messages import Counts
from cancorderd.protocol.service_names import SERVICE_PREFIX
from cancorderd.service.log import SummarizingHandler
from cancorderd.supervisor.port_memory import PortMemory
from cancorderd.supervisor.service_record import Identity
from cancorderd.supervisor.state_machine import Event, State
from cancorderd.supervisor.supervision import Supervision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.supervisor.bus import Bus

_VERDICTS = (State.RUNNING, State.WAITING, State.BACKOFF, State.FAILED)
"""States that show whether a bus could be opened."""
_HIDDEN_DETAILS = ("found", "differs", "overruns", "dropped")
"""Details of an adapter that change, or that have a line of their own."""
_RETRY_EVERY_S = 5.0
"""For an adapter that has worked and now refuses its settings."""


@dataclass(frozen=True)
class Candidate:
    """A bus that might work."""

    settings: BusSettings
    notice: str = ""
    """Printed before the candidate is tried."""
    channel: str | None = None
    """The user's name for the channel, if the settings have another."""


@dataclass(frozen=True)
class Plan:
    """What a command opens, and the lines that it prints."""

    process: str
    candidates: Sequence[Candidate]
    start_lines: Sequence[str]
    """Printed first; {port} stands for the port for clients."""
    ready_lines: Sequence[str]
    """Printed once the bus is open."""
    failure_text: str
    """Printed if no candidate works: a line with the error, then lines of advice."""
    verbose: bool = False
    """Whether frames are printed."""
    title: str = SERVICE_PREFIX
    """Start of the announced name; host and port follow."""
    txt_record: dict[str, str] = field(default_factory=dict)
    """Entries that replace those of the bus's TXT record."""
    uppercase: bool = False
    frame_prefix: Callable[[int], str] = lambda _arbitration_id: ""
    """Format of frames: see `output_lines.FrameLines`."""


def run(plan: Plan) -> int:
    """Serve until Ctrl+C or SIGTERM; return the exit status."""
    faulthandler.enable()

    async def serve() -> int:
        return await _OneBus(plan).run()

    return asyncio.run(serve())


class _OneBus:
    """The bus, its supervision and its printer. Must be made in a running event loop."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._terminal = sys.stdout.isatty()
        self._loop = asyncio.get_running_loop()
        coloured = self._terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        frames = FrameLines(coloured=coloured, uppercase=plan.uppercase, prefix=plan.frame_prefix)
        self._printer = Printer(
            sys.stdout.fileno(),
            frames if plan.verbose else None,
            coloured=coloured,
            on_output_closed=self._end_from_thread,
            encoding=sys.stdout.encoding,
        )
        self._state_lines = log_handler.TaggedLogHandler(self._printer)
        self._log = SummarizingHandler(self._state_lines)
        self._verdict: asyncio.Future[tuple[State, str]] = self._loop.create_future()
        """State and reason of the candidate that is being tried."""
        self._reload: asyncio.Task[object] | None = None
        self._next_retry_s = math.inf
        self._skipped = Counts()
        """Counts whose error and remote frames have been printed."""
        self._wanted = _configuration(plan.candidates[0])
        self._supervision = Supervision(
            self._wanted,
            None,
            self._on_bus,
            memory=PortMemory(None),
            tap=self._printer if plan.verbose else None,
        )

    async def run(self) -> int:
        """Run the command from its first line to its last; return the exit status."""
        log_handler.set_up(self._log, verbose=self._plan.verbose)
        supervision = self._supervision
        supervision.end_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        supervision.manager.start()
        supervision.watch(self._tick)
        bus = supervision.manager.buses[BUS_NAME]
        served = False
        try:
            served = await self._serve(bus)
        finally:
            await supervision.stop()
            self._log.close()
            self._printer.finish(bus.counts if served else None)
        return Exit.DONE if served else Exit.FAILED

    async def _serve(self, bus: Bus) -> bool:
        """Open the bus and serve it until the end; return False if it cannot be opened, after printing why."""
        print_line = self._printer.print_line
        if not bus.reachable:
            print_line("error", bus.reason)
            return False
        for line in self._plan.start_lines:
            print_line("init", line.format(port=bus.port))
        candidate = await self._open(bus)
        if candidate:
            print_line("server", f"TCP server listening on port {bus.port}")
            for line in (f"Clients can connect to port {bus.port}", *self._plan.ready_lines):
                print_line("ready", line)
            print_line("ready", "Press Ctrl+C to stop")
            txt_record = self._plan.txt_record | ({"channel": candidate.channel} if candidate.channel else {})
            self._supervision.announce(
                Identity(
                    self._plan.process, f"{self._plan.title} {{host}}:{{port}}", tuple(txt_record.items())
                )
            )
            await self._supervision.wait_for_end()
        elif not self._supervision.ending:
            error, _, advice = self._plan.failure_text.partition("\n")
            print_line("error", error)
            self._printer.print_plain(advice)
            return False
        if self._terminal:
            self._printer.print_plain("")  # leaves the terminal's ^C on a line of its own
        print_line("exit", "Shutting down...")
        return True

    async def _open(self, bus: Bus) -> Candidate | None:
        """Try the candidates in order; return the first that works, None if none does or the end is requested."""
        for number, candidate in enumerate(self._plan.candidates):
            if candidate.notice:
                self._printer.print_line("can", candidate.notice, YELLOW)
            if number:
                self._verdict = self._loop.create_future()
                self._wanted = _configuration(candidate)
                # Not awaited: it ends when the bus has settled, which can be later than the verdict.
                self._reload = asyncio.create_task(self._supervision.manager.reload(self._wanted))
            end = asyncio.create_task(self._supervision.wait_for_end())
            await asyncio.wait((self._verdict, end), return_when=asyncio.FIRST_COMPLETED)
            end.cancel()
            if not self._verdict.done():
                return None
            state, reason = self._verdict.result()
            if state == State.RUNNING:
                self._print_opened(bus, candidate)
                self._state_lines.bus_opened()
                self._next_retry_s = 0.0
                return candidate
            self._printer.print_line("can", f"Failed to open CAN bus: {reason}", RED)
        return None

    def _print_opened(self, bus: Bus, candidate: Candidate) -> None:
        details = bus.report.details if bus.report else {}
        name = details.get("found") or f"{bus.settings.interface} {candidate.channel or bus.settings.channel}"
        shown = ", ".join(
            f"{key} {value}" for key, value in details.items() if value and key not in _HIDDEN_DETAILS
        )
        self._printer.print_line("can", f"CAN bus opened: {name}" + (f" ({shown})" if shown else ""))
        if "bitrate" in details.get("differs", ""):
            text = f"The interface keeps its bitrate of {details['bitrate']}: ip link sets it"
            self._printer.print_line("can", text, YELLOW)

    def _on_bus(self, bus: Bus) -> None:
        """Called at every change of the bus."""
        state = bus.state
        if state in _VERDICTS and not self._verdict.done() and [bus.settings] == list(self._wanted.buses):
            self._verdict.set_result((state, bus.reason))
        self._state_lines.note_state(state)

    def _tick(self, now_s: float) -> None:
        """Called about once a second."""
        self._log.tick(now_s)
        bus = self._supervision.manager.buses[BUS_NAME]
        self._state_lines.note_state(bus.state)
        if bus.state == State.FAILED and now_s >= self._next_retry_s:
            # The daemon's users start it again with cancorderctl; here nobody can.
            self._next_retry_s = now_s + _RETRY_EVERY_S
            bus.handle(Event.START)
        if self._plan.verbose:
            counts, before = bus.counts, self._skipped
            self._skipped = counts
            for kind, new in (
                ("error", counts.error - before.error),
                ("remote", counts.remote - before.remote),
            ):
                if new:
                    self._printer.print_line("can", f"SKIP {new} {kind} frame(s)", YELLOW)

    def _end_from_thread(self) -> None:
        """End the command as any filter ends when nobody reads its output. Called in the printer's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._supervision.request_end)


def _configuration(candidate: Candidate) -> Configuration:
    return Configuration(buses=(candidate.settings,))
