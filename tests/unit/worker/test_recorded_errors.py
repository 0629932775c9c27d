"""The recorder gets remote and error frames if its table says so, and their losses are counted apart."""

from __future__ import annotations

import selectors
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.config.record_settings import RecordSettings
from cancorderd.protocol.batch import batch_of
from cancorderd.protocol.frame import Frame
from cancorderd.protocol.internal_packets import error_packet
from cancorderd.protocol.packets import encode
from cancorderd.worker.recording_feed import RecordingFeed
from tests.support.harness import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

MIXED = batch_of([encode(Frame(1, 1)), error_packet(2, 4), error_packet(3, 4)], [1, 2])
ERRORS = batch_of([error_packet(3, 0x80)], [0])


def new_feed(folder: Path, script: str, *, errors: bool) -> RecordingFeed:
    record = RecordSettings(directory=str(folder), errors=errors)
    settings = MockSettings(name="body", interface="mock", client_backlog=65536, record=record)
    return RecordingFeed(
        settings,
        record,
        selectors.DefaultSelector(),
        lambda _level, _text: None,
        command=lambda _settings, _record, descriptor: ["bash", "-c", script, "recorder", str(descriptor)],
    )


@pytest.mark.parametrize("errors", [True, False])
def test_recorder_gets_them_if_they_are_recorded(tmp_path: Path, errors: bool) -> None:
    feed = new_feed(tmp_path, f'cat <&"$1" >"{tmp_path}/stream"', errors=errors)
    for batch in (ERRORS, MIXED):
        feed.feed(batch)
    feed.close()
    assert feed._process
    feed._process.wait(PATIENCE_S)
    expected = ERRORS.complete + MIXED.complete if errors else MIXED.packets
    assert (tmp_path / "stream").read_bytes() == expected


def test_losses_are_counted_apart(tmp_path: Path) -> None:
    feed = new_feed(tmp_path, "exit 1", errors=True)
    for key, events in feed._out._selector.select(PATIENCE_S):
        key.data(events)
    for _ in range(3):
        feed.feed(MIXED)
    report = feed.report(time.monotonic())
    assert (report.frames, report.dropped, report.errors, report.errors_dropped) == (0, 3, 0, 6)
    feed.close()


def test_recorder_that_falls_behind_loses_both_kinds(tmp_path: Path) -> None:
    feed = new_feed(tmp_path, "sleep 60", errors=True)
    many = batch_of([*[encode(Frame(1, 1))] * 500, *[error_packet(2, 4)] * 1000], range(500, 1500))
    for _ in range(200):
        feed.feed(many)
    report = feed.report(time.monotonic())
    assert report.dropped > 0
    assert report.errors_dropped == 2 * report.dropped
    assert feed._process
    feed._process.kill()
    feed._process.wait(PATIENCE_S)
    feed.close()
