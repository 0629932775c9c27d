"""Text of foreign origin, sent through every border: what comes out is printable and short.

The network's borders are tested with discovery and announcements, the service manager's with the environment.
"""

from __future__ import annotations

import io
import json
import logging
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import can
import pytest

from cancorderd.adapters.detection import _printable_texts
from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.adapters.python_can import driver_failure
from cancorderd.adapters.scan import FoundAdapter
from cancorderd.config.loading import ConfigurationError, load
from cancorderd.control.client import ControlClient
from cancorderd.ipc.messages import (
    BusReport,
    ClientReport,
    Counts,
    Notice,
    RecordingReport,
    WorkerEnd,
    printable_message,
)
from cancorderd.printable import error_text
from cancorderd.protocol.frame import Frame
from cancorderd.service.log import SummarizingHandler
from cancorderd.signals.signal_decoder import SignalDecoder, signal_text
from cancorderd.supervisor.event_log import EventLog
from tests.unit.supervisor.fakes import in_event_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOSTILE = "\x1b[2J\x9b31m\udc9b\u202e\x07\r\n\x00" + "x" * 200_000


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def texts_in(value: Any) -> Iterator[str]:
    """Every text in an answer, a message or the like."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from texts_in(pair)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


def assert_harmless(value: Any, longest: int = 4000) -> None:
    for text in texts_in(value):
        assert text.isprintable()
        text.encode()
        assert len(text) <= longest


@pytest.mark.parametrize(
    "error",
    [
        Exception(HOSTILE),
        can.CanInitializationError(HOSTILE),
        can.CanInterfaceNotImplementedError(HOSTILE),
        ValueError(HOSTILE),
        OSError(19, HOSTILE),
        OSError(13, "no", HOSTILE),
        MuteError(),
        Exception(),
    ],
)
def test_exceptions_of_drivers(error: Exception) -> None:
    assert_harmless(str(driver_failure("pcan", error)), 1500)


def test_a_long_exception_leaves_room_for_the_remedy() -> None:
    assert str(driver_failure("pcan", ValueError(HOSTILE))).endswith("Correct channel, bitrate or options.")


@pytest.mark.parametrize("kind", [AdapterAbsent, BusError, SettingsRefused])
def test_reasons_of_adapters(kind: type[Exception]) -> None:
    assert_harmless(str(kind(HOSTILE)))


def test_an_exception_without_text_is_named() -> None:
    assert error_text(MuteError()) == "MuteError"
    assert error_text(ValueError(" \n")) == "ValueError"


def test_messages_of_workers() -> None:
    report = BusReport(
        "running",
        HOSTILE,
        HOSTILE,
        Counts(received=7),
        [ClientReport(HOSTILE, 1.0, 2, 3, 4)],
        {"version": HOSTILE, HOSTILE: ""},
        RecordingReport("stopped", HOSTILE, HOSTILE, 5),
    )
    for message in (report, Notice("info", HOSTILE), WorkerEnd(HOSTILE)):
        assert_harmless(printable_message(message))
    assert printable_message(report).counts == Counts(received=7)
    assert printable_message(report).clients[0].frames_sent == 2


@in_event_loop
async def test_records_of_libraries() -> None:
    text, events = io.StringIO(), EventLog()
    handler = SummarizingHandler(logging.StreamHandler(text), events)
    error = ValueError(HOSTILE)
    info = (type(error), error, None)
    for fields in (
        {"msg": HOSTILE},
        {"msg": "%s", "args": (HOSTILE,), "bus": "a"},
        {"msg": "failed", "exc_info": info},
        {"msg": "a\n" * 100_000},
    ):
        handler.handle(logging.makeLogRecord({"levelno": 30, "levelname": "WARNING", **fields}))
    assert "ValueError" in text.getvalue()
    assert_harmless(text.getvalue().split("\n"))
    assert len(text.getvalue()) < 20_000
    assert_harmless([event["text"].split("\n") async for event in events.read(follow=False) if event])


@pytest.mark.parametrize(
    "line",
    [
        '"{}" = 1',
        '"{}".a = 1',
        'interface = "{}"',
        'channel = ["{}"]',
        'listen = ["{}"]',
        'allow = ["{}"]',
        'service_name = "{}"',
        'filters = [{{"{}" = 1}}]',
        'slow_client = "{}"',
        "x = {}",
        '"{}',
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_keys_and_values_of_files(tmp_path: Path, line: str, size: int) -> None:
    file = tmp_path / "cancorder.toml"
    text = r"\u001b[2J\u009b31m\u202e" + "x" * size
    file.write_text('[bus.a]\ninterface = "mock"\n' + line.format(text) + f'\n["{text}"]\n')
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert_harmless([str(problem) for problem in caught.value.problems])


def test_names_of_adapters() -> None:
    found = FoundAdapter(
        "slcan", HOSTILE, HOSTILE, HOSTILE, {"serial": HOSTILE, "index": 1}, HOSTILE, HOSTILE
    )
    assert_harmless(_printable_texts(found))
    assert (_printable_texts(found).keys or {})["index"] == 1


def test_names_of_a_database(tmp_path: Path) -> None:
    database = tmp_path / "a.dbc"
    database.write_text(
        """VERSION ""
BU_: A
BO_ 1 Engine: 8 A
 SG_ Speed : 0|8@1+ (1,0) [0|255] "\x1b[2J" A
 SG_ Gear : 8|8@1+ (1,0) [0|255] "" A
VAL_ 1 Gear 1 "\x9b31m\x07" 0 "b" ;
"""
    )
    decoded = SignalDecoder([str(database)]).decode(Frame(0, 1, 0, bytes([7, 1, 0, 0, 0, 0, 0, 0])))
    assert decoded
    assert decoded["message"] == "Engine"
    assert_harmless([decoded, signal_text(decoded)])


def test_answers_of_the_daemon(tmp_path: Path) -> None:
    answer = json.dumps({"problems": [HOSTILE, "two\nlines"], HOSTILE: {"a": [HOSTILE]}})

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(422)
            self.end_headers()
            self.wfile.write(answer.encode())

        log_message: Callable[..., None] = lambda *_: None

        def address_string(self) -> str:
            return ""

    path = str(tmp_path / "s")
    with socketserver.UnixStreamServer(path, Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        received: Any = ControlClient(path).reload()
        thread.join()
    assert received["problems"][1] == "two\nlines", "answers may have lines"
    assert_harmless([text.split("\n") for text in texts_in(received)], 300_000)
