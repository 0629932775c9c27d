"""`cancorderctl status --watch`: a live page on a terminal, else one table after another.

If the daemon ends, or does not run yet, it is waited for.
"""

from __future__ import annotations

import json
import math
import threading
import time
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import bus_table, terminal
from cancorderd.cli.ctl.bus_names import select_buses
from cancorderd.cli.ctl.watch_page import Snapshot, page
from cancorderd.cli.ctl.watch_view import View
from cancorderd.control.client import ControlClient, ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from cancorderd.cli.ctl.fitted_bus_table import Bars
    from cancorderd.control.protocol import StatusAnswer

_TIMEOUT_S = 3.0
"""If the daemon answers later, it counts as not answering."""


class StatusPoller:
    """Requests the status of one daemon again and again: if no socket is named, of the first that answered."""

    def __init__(self, socket: str | None, names: list[str]) -> None:
        self.socket = socket
        """Path of the socket; None until a daemon has answered, if none was named."""
        self._names = names
        self._has_answered = False

    def poll(self) -> StatusAnswer | str:
        """Return the status, or the reason why there is none. Raises ControlError if waiting does not help."""
        client = ControlClient(self.socket, timeout_s=_TIMEOUT_S)
        try:
            status = client.status()
            status["buses"] = select_buses(status["buses"], self._names)
        except ControlError as error:
            if error.status == Exit.NOT_RUNNING:
                return "cancorderd is not running; waiting"
            if error.status == Exit.NO_PERMISSION or not self._has_answered:
                raise
            return f"{error}"
        self.socket = client.path
        self._has_answered = True
        return status


def run(options: argparse.Namespace) -> int:
    """Show the status until q or Ctrl+C."""
    poller = StatusPoller(options.socket, options.buses)
    try:
        if terminal.on_terminal() and not options.json:
            _show_page(poller, options.interval)
        else:
            _print_answers(poller, options.interval, as_json=options.json)
    except KeyboardInterrupt:
        pass
    return Exit.DONE


def _print_answers(poller: StatusPoller, interval_s: float, *, as_json: bool) -> None:
    """Print a table, or a line of JSON, every `interval_s` seconds, and each problem once to standard error."""
    last_problem = ""
    printed = False
    for _ in _every(interval_s):
        answer = poller.poll()
        if isinstance(answer, str):
            if answer != last_problem:
                terminal.print_error(answer)
            last_problem = answer
            continue
        last_problem = ""
        if as_json:
            print(json.dumps(answer), flush=True)
        else:
            gap = "\n" if printed else ""
            print(f"{gap}{bus_table.status_text(answer, time.time())}", flush=True)
        printed = True


def _every(interval_s: float) -> Iterator[None]:
    due_s = time.monotonic()
    while True:
        yield
        due_s = max(due_s + interval_s, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))


def _show_page(poller: StatusPoller, interval_s: float) -> None:
    from cancorderd.cli.ctl.window import Window  # loads rich, which the other forms of status do without

    # Polled before the window opens, so that a mistake in the command line is reported on the plain screen.
    snapshot = _polled(Snapshot(), poller)
    view = View()
    restart = _Restart()
    with Window() as window:
        due_s = time.monotonic() + interval_s
        while True:
            now = time.time()
            clock = time.strftime("%H:%M:%S", time.localtime(now))
            bars: Bars = "blocks" if window.has_blocks else "ascii"
            window.draw(page(snapshot, now, clock, window.size, view=view, bars=bars))
            keys = window.wait(min(due_s - time.monotonic(), restart.look_s))
            if outcome := restart.outcome():
                view, due_s = view._replace(note=outcome), 0.0
            names = [bus["name"] for bus in snapshot.arranged(window.size[1], view)]
            view, action = view.pressed(keys, names)
            if action == "quit":
                return
            if action == "restart":
                view = view._replace(note=restart.begin(poller.socket, view.selected))
            if time.monotonic() >= due_s:
                snapshot = _polled(snapshot, poller)
                due_s = time.monotonic() + interval_s


class _Restart:
    """A restart that was asked for on the page, which goes on being drawn meanwhile."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._outcome = ""

    @property
    def look_s(self) -> float:
        """In how many seconds to ask for the outcome."""
        return 0.2 if self._thread else math.inf

    def begin(self, socket: str | None, name: str) -> str:
        """Request the restart of a bus; return what to tell the reader."""
        if self._thread:
            return "The last restart goes on; wait for it"
        self._thread = threading.Thread(target=self._request, args=(socket, name), daemon=True)
        self._thread.start()
        return f"Restarting {name} ..."

    def outcome(self) -> str:
        """Return the outcome once; empty if there is none yet."""
        if self._thread is None or self._thread.is_alive():
            return ""
        self._thread = None
        return self._outcome

    def _request(self, socket: str | None, name: str) -> None:
        try:
            answer = ControlClient(socket).control(name, "restart")
        except ControlError as error:
            self._outcome = str(error)
            return
        reason = f": {answer['reason']}" if answer["reason"] else ""
        self._outcome = f"Restarted {name}: {answer['state']}{reason}"


def _polled(snapshot: Snapshot, poller: StatusPoller) -> Snapshot:
    """Return the snapshot after another request."""
    answer = poller.poll()
    if isinstance(answer, str):
        return snapshot._replace(problem=answer)
    return snapshot.updated(answer, time.time())
