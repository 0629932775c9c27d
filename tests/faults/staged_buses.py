"""A daemon with buses of the staged driver, each with a viewer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.faults.staged_driver import Stage, installed
from tests.faults.watched_bus import WatchedBus
from tests.support.harness import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class StagedBus(WatchedBus):
    """A bus whose driver fails when it is ordered to."""

    def __init__(self, daemon: Daemon, name: str, stage: Stage) -> None:
        super().__init__(
            daemon, name, sent=lambda: stage.sent, unheard=lambda: stage.unheard, set_rate=stage.set_rate
        )
        self.stage = stage


def staged_table(name: str, stage: Path, keys: str = "") -> str:
    """Return the table of a bus whose stage is this file."""
    return f'[bus.{name}]\ninterface = "staged"\nchannel = "{stage}"\n{keys}\n'


@contextlib.contextmanager
def staged_buses(
    folder: Path, names: Sequence[str], *, rate: float, keys: str = "", more_buses: str = ""
) -> Iterator[list[StagedBus]]:
    """Run buses with these names, on which frames flow; `keys` are added to each, `more_buses` to the configuration."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(installed(folder))
        stages = {name: Stage.new(folder / f"stage-{name}") for name in names}
        daemon = Daemon(
            folder,
            "".join(staged_table(name, folder / f"stage-{name}", keys) for name in names) + more_buses,
        )
        buses = [StagedBus(daemon, name, stage) for name, stage in stages.items()]
        for bus in buses:
            stack.callback(bus.disconnect)
        stack.enter_context(daemon)
        for bus in buses:
            bus.connect()
            daemon.wait_state(bus.name, "running")
            bus.send(rate)
        yield buses
