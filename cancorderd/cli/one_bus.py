"""One bus in the foreground until Ctrl+C: what the ancestor's three commands have in common.

The bus is the daemon's own, under the daemon's supervision, with a configuration that is made here. A command
says in a `Plan` what to open and what to say; `run` does it.
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
from typing import TYPE_CHECKING, Any

from cancorderd.cli import tagged
from cancorderd.cli.log_lines import LogLines, set_up
from cancorderd.cli.printer import Hearing, Printer
from cancorderd.config.model import Configuration
from cancorderd.control.protocol import Exit
from cancorderd.report import Counts
from cancorderd.service.log import SummedUp
from cancorderd.supervisor.announce import Introduction
from cancorderd.supervisor.machine import Event, Phase
from cancorderd.supervisor.ports import PortMemory
from cancorderd.supervisor.supervision import Supervision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cancorderd.config.model import BusBase
    from cancorderd.supervisor.bus import Bus

NAME = "can"
"""Of the bus, which the network and the log want to have one."""

_VERDICTS = (Phase.RUNNING, Phase.WAITING, Phase.BACKOFF, Phase.FAILED)
"""Phases that tell whether a bus could be opened."""
_UNTOLD = ("found", "differs", "overruns", "dropped")
"""Details of an adapter that change, or have a line of their own."""
_RETRY_EVERY_S = 5.0
"""For an adapter that worked and now refuses its settings."""
_FRAMES_S = 1.0
"""How long the output may take at the end for the frames that still wait to be printed."""
_STUCK_S = 2.0
"""How long an output may take nothing of the last lines."""


@dataclass(frozen=True)
class Attempt:
    """A bus that might work."""

    section: BusBase
    said: str = ""
    """Before it is tried."""
    channel: str | None = None
    """What the user calls its channel, where the section has another name for it."""


@dataclass(frozen=True)
class Plan:
    """What a command does."""

    process: str
    attempts: Sequence[Attempt]
    beginning: Sequence[str]
    """What it begins to do; {port} is where clients connect."""
    ready: Sequence[str]
    nothing: str
    """Where no attempt works: the error, and lines of advice."""
    verbose: bool = False
    title: str = Introduction().title
    text: dict[str, str] = field(default_factory=dict)
    """Goes over the TXT record of the bus."""
    upper: bool = False
    note: Callable[[int], str] = lambda _arbitration_id: ""
    """How frames are printed: see `tagged.FrameLines`."""


def run(plan: Plan) -> int:
    """Serve until Ctrl+C or SIGTERM; returns the exit status."""
    faulthandler.enable()

    async def live() -> int:
        return await _OneBus(plan).live()

    return asyncio.run(live())


class _OneBus:
    """Made in the loop that it lives in."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._terminal = sys.stdout.isatty()
        coloured = self._terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        frames = tagged.FrameLines(coloured=coloured, upper=plan.upper, note=plan.note)
        self._printer = Printer(
            sys.stdout.fileno(), frames, self._hearing, coloured=coloured, gone=self._output_is_gone
        )
        self._lines = LogLines(self._printer)
        self._log = SummedUp(self._lines)
        self._skipped = Counts()
        self._retry_s = math.inf
        self._loop = asyncio.get_running_loop()
        self._verdict: asyncio.Future[tuple[Phase, str]] = self._loop.create_future()
        self._supervision = Supervision(
            _configuration(plan.attempts[0]),
            None,
            self._on_bus,
            memory=PortMemory(None),
            ear=self._printer if plan.verbose else None,
        )

    async def live(self) -> int:
        """The command, from its first line to its last."""
        set_up(self._log)
        supervision = self._supervision
        supervision.end_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        supervision.manager.start()
        supervision.watch(self._tick)
        bus = supervision.manager.buses[NAME]
        failed = True
        try:
            failed = not await self._serve(bus)
        finally:
            await supervision.stop()
            self._log.close()
            self._printer.finish(_FRAMES_S, _STUCK_S, (lambda: None) if failed else lambda: self._sum_up(bus))
        return Exit.FAILED if failed else Exit.DONE

    async def _serve(self, bus: Bus) -> bool:
        """Until it is told to end; False where it could not begin, and has said why."""
        if not bus.reachable:
            self._printer.say("error", bus.reason)
            return False
        for line in self._plan.beginning:
            self._printer.say("init", line.format(port=bus.port))
        opened = await self._opened(bus)
        if opened is None:
            if not self._supervision.ending:
                what, _, advice = self._plan.nothing.partition("\n")
                self._printer.say("error", what)
                self._printer.plain(advice)
                return False
        else:
            self._lines.opened()
            self._retry_s = 0.0
            self._printer.say("server", f"TCP server listening on port {bus.port}")
            for line in (
                f"Clients can connect to port {bus.port}",
                *self._plan.ready,
                "Press Ctrl+C to stop",
            ):
                self._printer.say("ready", line)
            text = self._plan.text | ({"channel": opened.channel} if opened.channel else {})
            self._supervision.announce(
                Introduction(self._plan.process, self._plan.title, tuple(text.items()))
            )
            await self._supervision.until_told()
        if self._terminal:
            self._printer.plain("")  # leaves the terminal's ^C alone
        self._printer.say("exit", "Shutting down...")
        return True

    async def _opened(self, bus: Bus) -> Attempt | None:
        """Try what there is to try, in its order; what works. None where nothing does, or it is told to end."""
        for number, attempt in enumerate(self._plan.attempts):
            if attempt.said:
                self._printer.say("can", attempt.said, tagged.YELLOW)
            if number:
                self._verdict = self._loop.create_future()
                # Waits for more than the verdict; what comes of it, that tells.
                self._change = asyncio.create_task(self._supervision.manager.reload(_configuration(attempt)))
            told = asyncio.create_task(self._supervision.until_told())
            either: list[asyncio.Future[Any]] = [self._verdict, told]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            if not self._verdict.done():
                return None
            phase, reason = self._verdict.result()
            if phase == Phase.RUNNING:
                self._say_opened(bus, attempt)
                return attempt
            self._printer.say("can", f"Failed to open CAN bus: {reason}", tagged.RED)
        return None

    def _say_opened(self, bus: Bus, attempt: Attempt) -> None:
        details = bus.report.details if bus.report else {}
        name = details.get("found") or f"{bus.section.interface} {attempt.channel or bus.section.channel}"
        told = ", ".join(f"{key} {value}" for key, value in details.items() if value and key not in _UNTOLD)
        self._printer.say("can", f"CAN bus opened: {name}" + (f" ({told})" if told else ""))
        if "bitrate" in details.get("differs", ""):
            self._printer.say(
                "can",
                f"The interface keeps its bitrate of {details['bitrate']}: ip link sets it",
                tagged.YELLOW,
            )

    def _on_bus(self, bus: Bus) -> None:
        phase = bus.life.phase
        if phase in _VERDICTS and not self._verdict.done():
            self._verdict.set_result((phase, bus.reason))
        self._lines.look(phase)

    def _tick(self, now_s: float) -> None:
        self._log.tick(now_s)
        bus = self._supervision.manager.buses[NAME]
        self._lines.look(bus.life.phase)
        if bus.life.phase == Phase.FAILED and now_s >= self._retry_s:
            # Nobody can start it again by hand here, as cancorderctl does.
            self._retry_s = now_s + _RETRY_EVERY_S
            bus.handle(Event.START)
        if self._plan.verbose:
            counts = bus.counts
            for kind in ("error", "remote"):
                if new := getattr(counts, kind) - getattr(self._skipped, kind):
                    self._printer.say("can", f"SKIP {new} {kind} frame(s)", tagged.YELLOW)
            self._skipped = counts

    def _hearing(self) -> Hearing:
        bus = self._supervision.manager.buses[NAME]
        return Hearing(len(bus.report.clients) if bus.report else 0, bus.counts.lost_taps)

    def _sum_up(self, bus: Bus) -> None:
        counts = bus.counts
        say = self._printer.say
        say(
            "stats", f"Frames sent: {counts.sent}, dropped: {counts.lost_clients}, bytes: {counts.sent_bytes}"
        )
        lost = f"lost by the kernel: {counts.lost_kernel}, by the adapter: {counts.lost_adapter}"
        say("stats", f"Frames received: {counts.received}, {lost}")
        if self._plan.verbose:
            printed = self._printer.frames.printed
            say("stats", f"Frames printed: {printed}, not printed: {max(0, counts.received - printed)}")

    def _output_is_gone(self) -> None:
        """Nobody reads: as for any filter, that is the end. Called in the printer's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._supervision.end)


def _configuration(attempt: Attempt) -> Configuration:
    return Configuration.model_validate({"buses": [attempt.section]})
