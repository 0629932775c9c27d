"""What every source does alike: opens, streams, counts, reports loss, tells failures apart, releases, opens again."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.errors import AdapterAbsent, BusError, SettingsRefused
from cancorderd.sources import open_source
from tests.harness import poll
from tests.sources.benches import ABSENT, BENCHES, PLUGGABLE, REFUSING
from tests.sources.reading import frames_of, read_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cancorderd.sources.base import Source
    from tests.sources.benches import Bench


@pytest.fixture
def bench(
    request: pytest.FixtureRequest,
    section: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    with BENCHES[request.param](section, tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.parametrize("bench", BENCHES, indirect=True)
def test_opens_streams_counts_releases_and_opens_again(bench: Bench) -> None:
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        source = open_source(bench.section)
        try:
            frames = frames_of(source, 20)
            stamps = [frame.timestamp_us for frame in frames]
            assert stamps == sorted(stamps)
            assert abs(stamps[-1] - time.time_ns() // 1000) < 5_000_000
            assert (source.error_frames, source.lost_kernel, source.lost_adapter) == (0, 0, 0)
        finally:
            source.close()
            source.close()
        assert len(os.listdir("/proc/self/fd")) <= descriptors
        assert threading.active_count() <= threads


@pytest.mark.parametrize("bench", BENCHES, indirect=True)
def test_read_never_waits(bench: Bench) -> None:
    source = open_source(bench.section)
    try:
        frames_of(source, 1)
        durations = []
        for _ in range(20):
            began = time.monotonic()
            source.read(began)
            durations.append(time.monotonic() - began)
        assert sorted(durations)[10] < 0.05
    finally:
        source.close()


@pytest.mark.parametrize("bench", ABSENT, indirect=True)
def test_absent_adapter_is_told_apart(bench: Bench) -> None:
    with pytest.raises(AdapterAbsent):
        open_source(bench.absent)


@pytest.mark.parametrize("bench", REFUSING, indirect=True)
def test_settings_that_cannot_work_are_told_apart_and_leave_the_adapter_usable(bench: Bench) -> None:
    with pytest.raises(SettingsRefused):
        open_source(bench.refused)
    source = open_source(bench.section)
    frames_of(source, 1)
    source.close()


@pytest.mark.parametrize("bench", PLUGGABLE, indirect=True)
def test_unplugged_is_a_bus_error_then_absent_and_works_again_once_it_is_back(bench: Bench) -> None:
    assert bench.unplug
    assert bench.plug
    source = open_source(bench.section)
    frames_of(source, 5)
    bench.unplug()
    with pytest.raises(BusError):
        read_until(source, lambda: False)
    source.close()

    def absent() -> bool:
        try:
            open_source(bench.section).close()
        except AdapterAbsent:
            return True
        return False

    poll(absent, what="the adapter is absent")
    bench.plug()

    def opened() -> Source | None:
        try:
            return open_source(bench.section)
        except AdapterAbsent:
            return None

    again = poll(opened, 2, "it opens within 2 s")
    assert again
    frames_of(again, 5)
    again.close()


@pytest.mark.parametrize("bench", PLUGGABLE, indirect=True)
def test_loss_in_the_adapter_is_reported(bench: Bench) -> None:
    assert bench.lose
    source = open_source(bench.section)
    frames_of(source, 5)
    bench.lose()
    read_until(source, lambda: source.lost_adapter > 0)
    source.close()
