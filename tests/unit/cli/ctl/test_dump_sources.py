"""Sources of `cancorderctl dump` whose streams are damaged or end, over real sockets."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from cancorderd.cli.ctl import dump_source
from cancorderd.cli.ctl.dump_arrivals import arrivals
from cancorderd.cli.ctl.dump_sources import open_sources
from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import HEADER, encode
from tests.support.harness import poll
from tests.support.scripted_logger import ScriptedLogger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cancorderd.cli.ctl.dump_source import DumpSource

GOOD = encode(Frame(1_700_000_000_000_000, 0x123, 0, b"a"))
UNFLAGGED = HEADER.pack(9, 0x18DA00F1, 0, 0)
SKIPPED = HEADER.pack(9, 0x123, 0x40, 0)
BY_ITSELF = "(This command does so by itself.)"
IMPOSSIBLE = HEADER.pack(1, 1, 0, 200)


@pytest.fixture(autouse=True)
def without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_source, "RECONNECT_S", 0.0)


@contextmanager
def opened(*loggers: ScriptedLogger, filters: str = "", lasting: bool = False) -> Iterator[list[DumpSource]]:
    with ExitStack() as stack:
        names = [f"127.0.0.1:{logger.port}{filters}" for logger in loggers]
        sources = open_sources(names, None, lasting=lasting)
        for source in sources:
            stack.callback(source.close)
        yield sources


def ids(sources: list[DumpSource], count: int) -> list[int]:
    found: list[int] = []
    for frames in arrivals(sources):
        found += [frame.arbitration_id for _, frame in frames]
        if len(found) >= count:
            break
    return found


def test_source_connects_again_when_borders_are_lost_and_odd_packets_are_summed_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scripts = (GOOD + UNFLAGGED + IMPOSSIBLE, GOOD + UNFLAGGED + SKIPPED + IMPOSSIBLE, 2 * GOOD)
    with ScriptedLogger(*scripts) as logger:
        with opened(logger) as sources:
            assert ids(sources, 6) == [0x123, 0x18DA00F1, 0x123, 0x18DA00F1, 0x123, 0x123]
        place = f"cancorderctl: 127.0.0.1:{logger.port}"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"{place}: arbitration id 0x18DA00F1 is above 0x7FF. ")
    for line in lines[1:3]:
        assert line.startswith(f"{place}: length byte is 200; ")
        assert line.endswith("Connect again. (This command does so by itself.)")
    assert lines[3:] == [f"{place}: packets repaired: 2, skipped: 1."]


def test_damaged_source_does_not_end_another(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        ScriptedLogger(GOOD + IMPOSSIBLE, UNFLAGGED) as damaged,
        ScriptedLogger(GOOD) as sound,
        opened(damaged, sound) as sources,
    ):
        assert sorted(ids(sources, 3)) == [0x123, 0x123, 0x18DA00F1]
    assert "length byte is 200" in capsys.readouterr().err


def test_source_without_any_frame_ends_with_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedLogger(b"SSH-2.0-OpenSSH_9.2p1\r\n") as logger:
        with opened(logger) as sources:
            assert ids(sources, 1) == []
        assert len(logger.clients) == 1
    assert "This is no ECUconnect Logger. Correct the address or the port." in capsys.readouterr().err


def test_source_that_is_gone_when_it_connects_again_ends_with_a_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ExitStack() as stack:
        with ScriptedLogger(GOOD + IMPOSSIBLE) as logger:
            sources = stack.enter_context(opened(logger))
            found = arrivals(sources)
            assert [frame.arbitration_id for _, frame in next(found)] == [0x123]
        assert list(found) == []
    assert "nothing listens there" in capsys.readouterr().err


def test_filters_apply_to_repaired_frames() -> None:
    with (
        ScriptedLogger(GOOD + UNFLAGGED + GOOD) as logger,
        opened(logger, filters=",18DA00F1:1FFFFFFF") as sources,
    ):
        assert ids(sources, 1) == [0x18DA00F1]


def hang_up(logger: ScriptedLogger) -> None:
    """End the newest client's stream."""
    poll(lambda: logger.served == len(logger.clients), what="the script was sent")
    logger.clients[-1].shutdown(socket.SHUT_RDWR)


def test_lasting_source_that_is_gone_is_read_again_when_it_is_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ScriptedLogger(GOOD, 2 * GOOD) as logger, opened(logger, lasting=True) as sources:
        found = arrivals(sources)
        assert [frame.arbitration_id for _, frame in next(found)] == [0x123]
        hang_up(logger)
        assert len(next(frames for frames in found if frames)) == 2
        assert not sources[0].ended
    name = f"127.0.0.1:{logger.port}"
    assert capsys.readouterr().err.splitlines() == [
        f"cancorderctl: {name} is gone: {name}: the server ended the stream. Connect again. {BY_ITSELF}",
        f"cancorderctl: {name} is back.",
    ]


def test_lasting_source_that_stays_away_is_said_now_and_then_and_keeps_to_the_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ScriptedLogger(GOOD) as logger, opened(logger, lasting=True) as sources:
        (source,) = sources
        poll(lambda: logger.clients, what="the client was accepted")
        hang_up(logger)
        logger.stop_listening()
        frames = [*arrivals(sources, time.monotonic() + 0.3)]
        assert [frame.arbitration_id for some in frames for _, frame in some] == [0x123]
        poll(lambda: [*arrivals(sources, time.monotonic() + 0.1)] or source._failure, what="a failed attempt")
        assert source.away
        assert not source.ended
        now_s = time.monotonic()
        for later_s in (0, 11, 12):
            source.remind(now_s + later_s)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "has been gone for 1" in lines[1]
    assert lines[1].endswith("or correct the port.")


def test_source_that_is_no_logger_is_not_waited_for() -> None:
    with ScriptedLogger(b"SSH-2.0-OpenSSH_9.2p1\r\n") as logger, opened(logger, lasting=True) as sources:
        assert list(arrivals(sources)) == []
        assert sources[0].ended
