"""Shows exhibits to their sources, side by side: a process each, which may change its environment, with a deadline."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
import traceback
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.firmware.exhibit import Exhibit, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.process import BaseProcess

    from tests.firmware.exhibit import Museum

SIDE_BY_SIDE = 24
"""Exhibits mostly wait."""
_DEADLINE_S = 60.0
"""Twice the time that an exhibit may take, for a busy machine."""

_FORK = multiprocessing.get_context("fork")


class Visit(NamedTuple):
    """An exhibit and what it gave."""

    museum: str
    exhibit: Exhibit
    outcome: Outcome
    lasted_s: float


class _Running(NamedTuple):
    museum: str
    exhibit: Exhibit
    process: BaseProcess
    began_s: float


def visits(exhibits: Sequence[tuple[str, Museum, Exhibit]]) -> Iterator[Visit]:
    """Yield each exhibit as it ends."""
    waiting = list(exhibits)
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < SIDE_BY_SIDE:
                name, museum, exhibit = waiting.pop(0)
                ours, theirs = _FORK.Pipe(duplex=False)
                process = _FORK.Process(target=_observe, args=(museum, exhibit, theirs))
                process.start()
                theirs.close()
                running[ours] = _Running(name, exhibit, process, time.monotonic())
            ready = wait(list(running), 0.2)
            now_s = time.monotonic()
            for pipe, entry in list(running.items()):
                if pipe in ready or now_s - entry.began_s > _DEADLINE_S:
                    del running[pipe]
                    outcome = _outcome(pipe) if pipe in ready else Outcome("no end", "")
                    _end(entry.process)
                    yield Visit(entry.museum, entry.exhibit, outcome, now_s - entry.began_s)
    finally:
        for entry in running.values():
            _end(entry.process)


def _observe(museum: Museum, exhibit: Exhibit, pipe: Connection) -> None:
    with tempfile.TemporaryDirectory(prefix="museum-") as folder:
        try:
            outcome = museum.observe(exhibit, Path(folder))
        except Exception:  # noqa: BLE001 - an exhibit that breaks is a result, too
            outcome = Outcome("an exception", traceback.format_exc())
        pipe.send(tuple(outcome))


def _outcome(pipe: Connection) -> Outcome:
    try:
        return Outcome(*pipe.recv())
    except EOFError:
        return Outcome("the process died", "")
    finally:
        pipe.close()


def _end(process: BaseProcess) -> None:
    process.join(1)
    process.kill()
    process.join()
