"""The supervisor's log records as lines of a terminal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cancorderd.cli.canlogger import output_lines
from cancorderd.supervisor.state_machine import State

if TYPE_CHECKING:
    from cancorderd.cli.canlogger.printer import Printer

_STATE_TEXTS = {
    State.WAITING: "Waiting for the adapter",
    State.BACKOFF: "CAN error, trying again",
    State.FAILED: "Cannot be opened, trying again",
}
"""Lines about states. Of the other states, only `running` has a line, see `note_state`."""

_NARRATED = {"UDS session": "uds", "OBD-II polling": "obd"}
"""Beginnings of the mock bus's sentences, and their tags."""


class TaggedLogHandler(logging.Handler):
    """Prints the records about one bus. States are printed after `bus_opened`: before, the command does it itself."""

    def __init__(self, printer: Printer) -> None:
        super().__init__()
        self._printer = printer
        self._opened = False
        self._failure_printed = False

    def bus_opened(self) -> None:
        """The bus is open for the first time."""
        self._opened = True

    def note_state(self, state: State) -> None:
        """Print the end of a failure that was printed. To be called about once a second with the bus's state.

        The record of that change is no help: it may be held back as a repetition.
        """
        if self._failure_printed and state == State.RUNNING:
            self._failure_printed = False
            self._printer.print_line("can", "CAN bus is open again")

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        sentence = text[:1].upper() + text[1:]
        colour = output_lines.YELLOW if record.levelno >= logging.WARNING else None
        state = getattr(record, "state", None)
        if state is not None and text.partition(":")[0] == state:
            state_text = _STATE_TEXTS.get(state)
            if state_text and self._opened:
                self._failure_printed = True
                self._printer.print_line("can", state_text + text.removeprefix(state), colour)
        elif record.name == "cancorderd.announce":
            self._printer.print_line("zeroconf", sentence, colour)
        elif subject := next((word for word in _NARRATED if text.startswith(word)), None):
            self._printer.print_line(_NARRATED[subject], text, colour)
        elif text.startswith("client "):
            self._printer.print_line("server", sentence, colour)
        elif getattr(record, "bus", None):
            self._printer.print_line("can", sentence, colour)
        elif record.levelno >= logging.WARNING:
            self._printer.print_line("error", self.format(record))


def set_up(handler: logging.Handler, *, verbose: bool = False) -> None:
    """Send all records to `handler`, with more detail about Zeroconf and, if `verbose`, the bus than the daemon logs."""
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("cancorderd").setLevel(logging.INFO)
    logging.getLogger("cancorderd.announce").setLevel(logging.DEBUG)
    if verbose:
        logging.getLogger("cancorderd.bus").setLevel(logging.DEBUG)
