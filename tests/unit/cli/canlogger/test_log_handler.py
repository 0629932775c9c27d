"""Log records of one bus as lines of the terminal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from cancorderd.cli.canlogger.log_handler import TaggedLogHandler
from cancorderd.supervisor.state_machine import State

if TYPE_CHECKING:
    from cancorderd.cli.canlogger.printer import Printer


class Lines(list[str]):
    """The lines that a printer was asked to print."""

    def print_line(self, word: str, text: str, colour: int | None = None) -> None:
        del colour
        self.append(f"[{word}] {text}")


def handler(*, opened: bool = True) -> tuple[TaggedLogHandler, Lines]:
    lines = Lines()
    made = TaggedLogHandler(cast("Printer", lines))
    if opened:
        made.bus_opened()
    return made, lines


def record(
    text: str, level: int = logging.INFO, name: str = "cancorderd.bus", **extra: str
) -> logging.LogRecord:
    return logging.makeLogRecord({"name": name, "msg": text, "levelno": level, **extra})


def test_failure_is_printed_and_its_end_once() -> None:
    made, lines = handler()
    made.emit(record("waiting: unplugged.", bus="can", state="waiting"))
    for state in (State.WAITING, State.RUNNING, State.RUNNING):
        made.note_state(state)
    assert lines == ["[can] Waiting for the adapter: unplugged.", "[can] CAN bus is open again"]


def test_states_are_not_printed_before_the_bus_is_open() -> None:
    made, lines = handler(opened=False)
    made.emit(record("waiting: unplugged.", bus="can", state="waiting"))
    made.note_state(State.RUNNING)
    assert not lines


def test_records_are_tagged_by_subject() -> None:
    made, lines = handler()
    made.emit(record("client 10.0.0.7:40001 connected", bus="can", state="running"))
    made.emit(record("announced as x", name="cancorderd.announce", bus="can"))
    made.emit(record("frames lost", bus="can", state="running"))
    made.emit(record("UDS session #1: security access", logging.DEBUG, bus="can", state="running"))
    made.emit(record("OBD-II polling: starts", bus="can", state="running"))
    made.emit(record("no port memory", logging.WARNING, "cancorderd"))
    made.emit(record("a detail", name="cancorderd"))
    assert lines == [
        "[server] Client 10.0.0.7:40001 connected",
        "[zeroconf] Announced as x",
        "[can] Frames lost",
        "[uds] UDS session #1: security access",
        "[obd] OBD-II polling: starts",
        "[error] no port memory",
    ]
