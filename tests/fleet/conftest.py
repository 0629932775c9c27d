"""Prints the table of the drills at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fleet.chain import HEAD, LINES

if TYPE_CHECKING:
    import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if LINES:
        terminalreporter.write_line("")
        for line in [HEAD, *LINES]:
            terminalreporter.write_line(line)
