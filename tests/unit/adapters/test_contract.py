"""The contract of sources (cancorderd/adapters/base.py), with every adapter that needs no special kernel."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.adapters.registry import open_source
from tests.support.harness import poll
from tests.support.source_reading import frames_of, read_until
from tests.unit.adapters.benches import ABSENT, BENCHES, PLUGGABLE, REFUSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cancorderd.adapters.base import Source
    from tests.unit.adapters.benches import Bench


@pytest.fixture
def bench(
    request: pytest.FixtureRequest,
    make_settings: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    with BENCHES[request.param](make_settings, tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.parametrize("bench", BENCHES, indirect=True)
def test_opens_streams_counts_releases_and_opens_again(bench: Bench) -> None:
    descriptors, threads = len(os.listdir("/proc/self/fd")), set(threading.enumerate())
    for _ in range(3):
        source = open_source(bench.settings)
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
        assert not set(threading.enumerate()) - threads


@pytest.mark.parametrize("bench", BENCHES, indirect=True)
def test_read_never_waits(bench: Bench) -> None:
    source = open_source(bench.settings)
    try:
        frames_of(source, 1)
        durations = []
        for _ in range(20):
            began = time.monotonic()
            source.read(began)
            durations.append(time.monotonic() - began)
        assert sorted(durations)[5] < 0.05, "a read that waits does so most times"
    finally:
        source.close()


@pytest.mark.parametrize("bench", ABSENT, indirect=True)
def test_absent_adapter_is_adapter_absent(bench: Bench) -> None:
    with pytest.raises(AdapterAbsent):
        open_source(bench.absent)


@pytest.mark.parametrize("bench", REFUSING, indirect=True)
def test_impossible_settings_are_refused_and_leave_the_adapter_usable(bench: Bench) -> None:
    with pytest.raises(SettingsRefused):
        open_source(bench.refused)
    source = open_source(bench.settings)
    frames_of(source, 1)
    source.close()


@pytest.mark.parametrize("bench", PLUGGABLE, indirect=True)
def test_unplugging_is_a_bus_error_then_absence_and_replugging_works(bench: Bench) -> None:
    assert bench.unplug
    assert bench.plug
    source = open_source(bench.settings)
    frames_of(source, 5)
    bench.unplug()
    with pytest.raises(BusError):
        read_until(source, lambda: False)
    source.close()

    def absent() -> bool:
        try:
            open_source(bench.settings).close()
        except AdapterAbsent:
            return True
        return False

    poll(absent, what="the adapter is absent")
    bench.plug()

    def opened() -> Source | None:
        try:
            return open_source(bench.settings)
        except AdapterAbsent:
            return None

    again = poll(opened, 2, "it opens within 2 s")
    assert again
    frames_of(again, 5)
    again.close()


@pytest.mark.parametrize("bench", PLUGGABLE, indirect=True)
def test_loss_in_the_adapter_is_counted(bench: Bench) -> None:
    assert bench.lose
    source = open_source(bench.settings)
    frames_of(source, 5)
    bench.lose()
    read_until(source, lambda: source.lost_adapter > 0)
    source.close()


@pytest.mark.parametrize("bench", BENCHES, indirect=True)
def test_stopped_source_returns_the_rest_and_is_released_as_ever(bench: Bench) -> None:
    descriptors, threads = len(os.listdir("/proc/self/fd")), set(threading.enumerate())
    source = open_source(bench.settings)
    try:
        frames_of(source, 5)
        descriptor = source.fileno()
        source.stop()
        now_s = time.monotonic()
        while source.read(now_s).frames:
            pass
        assert source.fileno() == descriptor, "the worker still has to take it from its selector"
    finally:
        source.close()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert not set(threading.enumerate()) - threads
    again = open_source(bench.settings)
    frames_of(again, 5)
    again.close()
