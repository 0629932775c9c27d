"""The supervisor's log records as lines of a terminal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cancorderd.cli import tagged
from cancorderd.supervisor.machine import Phase

if TYPE_CHECKING:
    from cancorderd.cli.printer import Printer

_PHASES = {
    Phase.WAITING: "Waiting for the adapter",
    Phase.BACKOFF: "CAN error, trying again",
    Phase.FAILED: "Cannot be opened, trying again",
}
"""What phases of a bus are called here. Of the others `running` alone is told, in its own way."""


class LogLines(logging.Handler):
    """Of one bus. How it is opened at first tells whoever does that, and then `opened`."""

    def __init__(self, printer: Printer) -> None:
        super().__init__()
        self._printer = printer
        self._opened = False
        self._told_trouble = False

    def opened(self) -> None:
        """The bus is open for the first time."""
        self._opened = True

    def look(self, phase: Phase) -> None:
        """Called now and then with the bus's phase: tells when a trouble that was told is over.

        Not by its record, which is held back where it repeats itself.
        """
        if self._told_trouble and phase == Phase.RUNNING:
            self._told_trouble = False
            self._printer.say("can", "CAN bus is open again")

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        colour = tagged.YELLOW if record.levelno >= logging.WARNING else None
        phase = getattr(record, "state", None)
        if phase is not None and text.partition(":")[0] == phase:
            words = _PHASES.get(phase)
            if words and self._opened:
                self._told_trouble = True
                self._printer.say("can", words + text.removeprefix(phase), colour)
        elif record.name == "cancorderd.announce":
            self._printer.say("zeroconf", text[:1].upper() + text[1:], colour)
        elif text.startswith("client "):
            self._printer.say("server", text[:1].upper() + text[1:], colour)
        elif getattr(record, "bus", None):
            self._printer.say("can", text[:1].upper() + text[1:], colour)
        elif record.levelno >= logging.WARNING:
            self._printer.say("error", self.format(record))


def set_up(handler: logging.Handler) -> None:
    """Let everything that is logged come here, and of Zeroconf more than the daemon tells."""
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("cancorderd").setLevel(logging.INFO)
    logging.getLogger("cancorderd.announce").setLevel(logging.DEBUG)
