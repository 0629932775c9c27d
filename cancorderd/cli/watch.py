"""`cancorderctl status --watch`: a live page on a terminal, one table after another elsewhere.

A daemon that ends, or is not there yet, is waited for.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from cancorderd.cli import render
from cancorderd.cli.names import chosen
from cancorderd.cli.page import Known, answered, page
from cancorderd.cli.terminal import on_terminal
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient, ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_TIMEOUT_S = 3.0
"""A daemon that answers later counts as one that does not."""


class Source:
    """Asks one daemon again and again; the one that answered first, where none is named."""

    def __init__(self, socket: str | None, names: list[str]) -> None:
        self._socket = socket
        self._names = names
        self._has_answered = False

    def ask(self) -> dict[str, Any] | str:
        """The status, or why there is none. Raises ControlError where waiting does not help."""
        client = ControlClient(self._socket, timeout_s=_TIMEOUT_S)
        try:
            status = client.ask("GET", protocol.STATUS)
            status["buses"] = chosen(status["buses"], self._names)
        except ControlError as error:
            if error.status == Exit.NOT_RUNNING:
                return "cancorderd is not running; waiting"
            if error.status == Exit.NO_PERMISSION or not self._has_answered:
                raise
            return f"{error}"
        self._socket = client.path
        self._has_answered = True
        return status


def run(options: argparse.Namespace) -> int:
    """Until q or Ctrl+C."""
    source = Source(options.socket, options.buses)
    try:
        if on_terminal() and not options.json:
            _live(source, options.interval)
        else:
            _lines(source, options.interval, as_json=options.json)
    except KeyboardInterrupt:
        pass
    return Exit.DONE


def _lines(source: Source, interval_s: float, *, as_json: bool) -> None:
    """A table, or a line of JSON, every `interval_s` seconds; what is wrong goes to the standard error."""
    said = ""
    written = 0
    for _ in _every(interval_s):
        answer = source.ask()
        if isinstance(answer, str):
            if answer != said:
                print(f"cancorderctl: {answer}", file=sys.stderr, flush=True)
            said = answer
            continue
        said = ""
        gap = "\n" if written and not as_json else ""
        print(
            f"{gap}{json.dumps(answer) if as_json else render.status_table(answer, time.time())}", flush=True
        )
        written += 1


def _every(interval_s: float) -> Iterator[None]:
    due_s = time.monotonic()
    while True:
        yield
        due_s = max(due_s + interval_s, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))


def _live(source: Source, interval_s: float) -> None:
    from cancorderd.cli.window import Window  # noqa: PLC0415 - loads rich, which pipes need not wait for

    known = _asked(
        Known(), source
    )  # before the window: what is wrong from the start is said on the plain screen
    with Window() as window:
        due_s = time.monotonic() + interval_s
        while True:
            now = time.time()
            clock = time.strftime("%H:%M:%S", time.localtime(now))
            window.draw(page(known, now, clock, window.size, bars="blocks" if window.blocks else "ascii"))
            if "q" in window.wait(due_s - time.monotonic()).lower():
                return
            if time.monotonic() >= due_s:
                known = _asked(known, source)
                due_s = time.monotonic() + interval_s


def _asked(known: Known, source: Source) -> Known:
    """What is known after one more question."""
    answer = source.ask()
    return known._replace(problem=answer) if isinstance(answer, str) else answered(known, answer, time.time())
