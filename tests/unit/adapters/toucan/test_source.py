"""The toucan source on an emulated library (tests/support/toucan.c), through its real API."""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.failures import AdapterAbsent, BusError, BusFailure, SettingsRefused
from cancorderd.adapters.registry import open_source
from cancorderd.adapters.toucan import can_api
from cancorderd.adapters.toucan import source as toucan_source
from cancorderd.adapters.toucan.settings import ToucanSettings
from cancorderd.config.settings_json import rebuilt
from cancorderd.protocol.batch import Batch
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD, Frame
from cancorderd.protocol.packets import PacketDecoder
from tests.support.harness import PATIENCE_S, busy_limit_s, poll
from tests.support.toucan_stage import Stage, Word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cancorderd.adapters.base import Source

DATA = bytes(range(64))

FD_MODES = 0xCF


def frames_of(batch: Batch) -> list[Frame]:
    decoder = PacketDecoder()
    decoder.receive(batch.packets)
    frames = list(decoder.frames())
    assert decoder.pending == 0
    assert len(frames) == batch.frames
    return frames


class Rig:
    """A stage, and the sources that were opened on it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.sources: list[Source] = []

    def open(self, **settings: Any) -> Source:
        values = {"name": "test", "interface": "toucan", "library": self.stage.library, **settings}
        source = open_source(rebuilt(ToucanSettings, values))
        self.sources.append(source)
        return source

    def close(self) -> None:
        self.stage[Word.HANG] = 0
        for source in self.sources:
            source.close()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    before = set(threading.enumerate())
    with Stage(tmp_path) as stage:
        monkeypatch.setenv("TOUCAN_STAGE", stage.file)
        rig = Rig(stage)
        yield rig
        rig.close()
        left = [thread for thread in set(threading.enumerate()) - before if thread.name == "read"]
        for thread in left:
            thread.join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in left)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source asks for the status 50 times a second."""
    monkeypatch.setattr(toucan_source, "_STATUS_EVERY_S", 0.02)


def drive(source: Source, until: Callable[[], object], *, goal: str = "") -> Iterator[Batch]:
    """Wait on the descriptor and read, as the worker's loop does, until `until` or for PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    descriptor = source.fileno()
    assert descriptor is not None
    while not until():
        due = source.due(time.monotonic())
        readable = select.select([descriptor], [], [], 0.05 if due is None else min(due, 0.05))[0]
        if readable or (due is not None and due <= 0.05):
            yield source.read(time.monotonic())
        assert time.monotonic() < deadline, f"not in time: {goal or until}"


def collect(source: Source, count: int, lost: Callable[[], int] = lambda: 0) -> list[Frame]:
    """Read at least `count` frames, minus those that are known to be lost."""
    frames: list[Frame] = []

    def complete() -> bool:
        return len(frames) + lost() >= count

    for batch in drive(source, complete, goal=f"{count} frames"):
        frames.extend(frames_of(batch))
    return frames


def wait(source: Source, until: Callable[[], object]) -> None:
    for _ in drive(source, until):
        pass


def failure_of(source: Source) -> BusFailure:
    with pytest.raises(BusFailure) as caught:
        wait(source, lambda: False)
    return caught.value


def numbers(frames: list[Frame]) -> list[int]:
    return [int.from_bytes(frame.data[:8]) for frame in frames]


def test_frames_of_every_kind_arrive(rig: Rig) -> None:
    source = rig.open()
    rig.stage.put(0x123, 0, data=b"\1\2\3")
    rig.stage.put(0x18DAF110, can_api.XTD, data=b"\4")
    rig.stage.put(0x321, can_api.RTR, 8)
    rig.stage.put(0x7FF)
    frames = collect(source, 3)
    assert [frame[1:] for frame in frames] == [
        (0x123, 0, b"\1\2\3"),
        (0x18DAF110, EXTENDED, b"\4"),
        (0x7FF, 0, b""),
    ]
    now_us = time.time_ns() // 1000
    assert all(now_us - 5_000_000 < frame.timestamp_us <= now_us for frame in frames)
    assert (source.remote_frames, source.error_frames) == (1, 0)


def test_fd_frames_arrive(rig: Rig) -> None:
    rig.stage[Word.CAPABILITY] = FD_MODES
    rig.stage[Word.CLOCK] = 80_000_000
    source = rig.open(fd=True, data_bitrate=2_000_000)
    rig.stage.put(0x123, can_api.FDF | can_api.BRS, 15, DATA)
    rig.stage.put(0x123, can_api.FDF | can_api.ESI, 9, DATA[:12])
    assert [frame[1:] for frame in collect(source, 2)] == [
        (0x123, FD | BRS, DATA),
        (0x123, FD | ESI, DATA[:12]),
    ]


@pytest.mark.parametrize("fd", [False, True])
def test_numbered_frames_of_a_full_bus_arrive_complete(rig: Rig, fd: bool) -> None:
    """9,009 frames/s: 1 Mbit/s, standard ids, 8 bytes; for FD as many with 64 bytes."""
    rig.stage[Word.CAPABILITY] = FD_MODES
    rig.stage[Word.FD] = fd
    rig.stage[Word.RATE], rig.stage[Word.LIMIT] = 9009, 9009
    source = rig.open(fd=fd, data_bitrate=5_000_000 if fd else None, bitrate=1_000_000)
    frames = collect(source, 9009)
    assert numbers(frames) == list(range(9009))
    assert {len(frame.data) for frame in frames} == {64 if fd else 8}
    assert source.lost_adapter == 0


def test_numbered_frames_arrive_complete_as_fast_as_they_are_read(rig: Rig) -> None:
    rig.stage[Word.RATE], rig.stage[Word.LIMIT] = -1, 150_000
    source = rig.open()
    assert numbers(collect(source, 150_000)) == list(range(150_000))


def test_loop_that_stands_still_costs_no_memory_and_loss_is_counted(rig: Rig) -> None:
    rig.stage[Word.RATE], rig.stage[Word.LIMIT] = 2_000_000, 400_000
    source = rig.open()
    # Nothing is collected: the thread's queue fills up, then the library's.
    poll(lambda: rig.stage[Word.MADE] >= 65_536)
    frames = frames_of(source.read(time.monotonic()))
    assert len(frames) <= 65_536 + 256
    frames += collect(source, 400_000 - len(frames), lambda: source.lost_adapter)
    assert len(frames) + source.lost_adapter == 400_000
    assert source.lost_adapter > 0
    assert numbers(frames) == sorted(set(numbers(frames)))


def test_stamps_keep_the_adapters_distances(rig: Rig) -> None:
    rig.stage[Word.STAMP_START] = (1 << 32) - 500_000  # wraps on the way
    rig.stage[Word.RATE], rig.stage[Word.LIMIT] = 1000, 1500
    opened_us = time.time_ns() // 1000
    source = rig.open()
    stamps = [frame.timestamp_us for frame in collect(source, 1500)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    assert min(gaps) > 990
    assert max(gaps) < 1010
    assert opened_us <= stamps[0]
    assert stamps[-1] <= time.time_ns() // 1000 + 20_000  # the first read may have been this late


@pytest.mark.parametrize(
    ("bitrate", "index"),
    [(1_000_000, 0), (500_000, -2), (250_000, -3), (125_000, -4), (100_000, -5), (50_000, -6),
     (20_000, -7), (10_000, -8)],
)  # fmt: skip
def test_predefined_bitrates_are_set_by_index(rig: Rig, bitrate: int, index: int) -> None:
    source = rig.open(bitrate=bitrate)
    assert rig.stage[Word.INDEX] == index
    assert source.details["timing"].startswith(f"{bitrate} bit/s, sample point ")


@pytest.mark.parametrize(
    ("settings", "timing"),
    [
        ({"bitrate": 500_000, "sample_point": 0.75}, (5, 14, 5, 4)),
        ({"bitrate": 500_000, "sample_point": 0.85}, (5, 16, 3, 3)),
        ({"bitrate": 83_333}, (75, 6, 1, 1)),
    ],
)
def test_other_bitrates_are_set_by_timing(
    rig: Rig, settings: dict[str, Any], timing: tuple[int, int, int, int]
) -> None:
    rig.open(**settings)
    stage = rig.stage
    assert stage[Word.INDEX] == 50_000_000
    assert (stage[Word.BRP], stage[Word.TSEG1], stage[Word.TSEG2], stage[Word.SJW]) == timing


def test_fd_timing_has_both_rates(rig: Rig) -> None:
    stage = rig.stage
    stage[Word.CAPABILITY], stage[Word.CLOCK] = FD_MODES, 80_000_000
    rig.open(fd=True, bitrate=500_000, data_bitrate=2_000_000)
    assert stage[Word.MODE] == can_api.FDOE | can_api.BRSE | can_api.ERR
    quanta = 1 + stage[Word.TSEG1] + stage[Word.TSEG2]
    data_quanta = 1 + stage[Word.DATA_TSEG1] + stage[Word.DATA_TSEG2]
    assert 80_000_000 / (stage[Word.BRP] * quanta) == 500_000
    assert 80_000_000 / (stage[Word.DATA_BRP] * data_quanta) == 2_000_000


def test_fd_without_data_bitrate_does_not_switch(rig: Rig) -> None:
    rig.stage[Word.CAPABILITY] = FD_MODES
    rig.open(fd=True)
    assert rig.stage[Word.MODE] == can_api.FDOE | can_api.ERR


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bitrate": 800_000}, "TouCAN has no 800 kbit/s.* Use 500000 or 1000000"),
        ({"bitrate": 615_384}, "TouCAN has no bitrate 615384: its 50 MHz clock"),
        (
            {"bitrate": 500_000, "sample_point": 0.97},
            "no bitrate 500000 with sample_point 0.97.*leave sample",
        ),
        ({"fd": True}, "TouCAN channel 0 has no CAN FD. Set fd = false"),
        ({"channel": 9}, "the library has no TouCAN channel 9. Channels count from 0"),
        ({"library": "/nowhere/libUVCANTOU.so"}, "/nowhere/libUVCANTOU.so.*Install MacCAN-TouCAN"),
    ],
)
def test_impossible_settings_are_refused(rig: Rig, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsRefused, match=message):
        rig.open(**settings)
    assert rig.stage[Word.INITS] == rig.stage[Word.EXITS]


def test_data_bitrate_beyond_the_clock_is_refused(rig: Rig) -> None:
    rig.stage[Word.CAPABILITY] = FD_MODES
    with pytest.raises(SettingsRefused, match="TouCAN has no data_bitrate 8000000: its 50 MHz clock"):
        rig.open(fd=True, data_bitrate=8_000_000)
    assert rig.stage[Word.EXITS] == 1


def test_listen_only_sets_monitor_mode(rig: Rig) -> None:
    rig.open(listen_only=True)
    assert rig.stage[Word.MODE] == can_api.MON | can_api.ERR


def test_adapter_that_cannot_listen_only_is_refused(rig: Rig) -> None:
    rig.stage[Word.CAPABILITY] = can_api.ERR
    with pytest.raises(SettingsRefused, match=r"cannot listen only\. Set listen_only = false"):
        rig.open(listen_only=True)


def test_adapter_without_status_messages_is_opened(rig: Rig) -> None:
    rig.stage[Word.CAPABILITY] = 0
    rig.open()
    assert rig.stage[Word.MODE] == 0


def test_library_of_another_layout_is_refused(rig: Rig) -> None:
    rig.stage[Word.CLASSIC_LAYOUT] = 1
    with pytest.raises(SettingsRefused, match=r"CAN 2\.0 alone"):
        rig.open()
    assert rig.stage[Word.EXITS] == 1


def test_absent_adapter_is_waited_for(rig: Rig) -> None:
    rig.stage.unplug()
    with pytest.raises(AdapterAbsent, match=r"there is no TouCAN channel 0\. Plug the adapter in"):
        rig.open()
    rig.stage.plug()
    source = rig.open()
    rig.stage.put(1)
    collect(source, 1)


def test_channel_that_another_program_holds_is_a_bus_error(rig: Rig) -> None:
    rig.stage[Word.OCCUPIED] = 1
    with pytest.raises(BusError, match="in use by another program"):
        rig.open()


def test_filters_drop_frames(rig: Rig) -> None:
    source = rig.open(filters=[{"id": 0x200, "mask": 0x700, "extended": False}])
    for can_id in (0x100, 0x2FF, 0x300, 0x200):
        rig.stage.put(can_id)
    assert [frame.arbitration_id for frame in collect(source, 2)] == [0x2FF, 0x200]


def test_details_of_library_and_adapter(rig: Rig) -> None:
    details = rig.open().details
    assert details == {
        "library": "emulated TouCAN, CAN API V3",
        "hardware": "TouCAN-USB, hardware 1.0.0 (s/n 00000042)",
        "firmware": "TouCAN-USB, firmware 1.0.1 (www.rusoku.com)",
        "timing": "500000 bit/s, sample point 75.0 %",
    }


def test_unplugging_is_noticed_soon_and_replugging_works(rig: Rig) -> None:
    source = rig.open()
    rig.stage.put(0x42)
    collect(source, 1)
    rig.stage.unplug()
    began = time.monotonic()
    error = failure_of(source)
    assert isinstance(error, BusError)
    assert str(error) == "TouCAN channel 0 is gone: device not there (-92). Plug the adapter in again."
    assert time.monotonic() - began < busy_limit_s(5)
    source.close()
    with pytest.raises(AdapterAbsent):
        rig.open()
    rig.stage.plug()
    again = rig.open()
    rig.stage.put(0x43)
    assert [frame.arbitration_id for frame in collect(again, 1)] == [0x43]


@pytest.mark.usefixtures("soon")
def test_frames_before_the_end_are_delivered(rig: Rig) -> None:
    rig.stage[Word.RATE] = 9009
    source = rig.open()
    frames = collect(source, 500)
    rig.stage.unplug()
    with pytest.raises(BusError):
        for batch in drive(source, lambda: False):
            frames += frames_of(batch)
    assert numbers(frames) == list(range(rig.stage[Word.MADE]))


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("code", [can_api.E_RESOURCE, can_api.E_HANDLE, -10_005])
def test_failing_status_ends_the_bus(rig: Rig, code: int) -> None:
    source = rig.open()
    rig.stage[Word.STATUS_CODE] = code
    assert isinstance(failure_of(source), BusError)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("code", [can_api.E_TX_BUSY, can_api.E_TIMEOUT, -101])
def test_busy_adapter_is_asked_three_times(rig: Rig, code: int) -> None:
    source = rig.open()
    wait(source, lambda: rig.stage[Word.STATUSES] >= 1)
    rig.stage[Word.STATUS_CODE] = code
    asked = rig.stage[Word.STATUSES]
    assert isinstance(failure_of(source), BusError)
    assert rig.stage[Word.STATUSES] - asked >= 3


@pytest.mark.usefixtures("soon")
def test_bus_off_by_the_status(rig: Rig) -> None:
    source = rig.open()
    assert source.controller == "error-active"
    rig.stage[Word.STATUS] = can_api.WARNING
    wait(source, lambda: source.controller == "error-warning")
    rig.stage[Word.STATUS] = 0
    wait(source, lambda: source.controller == "error-active")
    rig.stage[Word.STATUS] = can_api.BUS_OFF
    error = failure_of(source)
    assert str(error) == "TouCAN channel 0 is bus-off. Check bitrate, wiring and termination."
    assert source.controller == "bus-off"


def test_bus_off_by_a_status_message_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toucan_source, "_STATUS_EVERY_S", 1000.0)
    source = rig.open()
    rig.stage.put(0x11)
    collect(source, 1)
    rig.stage[Word.STATUS] = can_api.BUS_OFF
    rig.stage.put(0, can_api.STS, 4, bytes([can_api.BUS_OFF, 0, 0, 0]))
    assert "bus-off" in str(failure_of(source)), "before the status is asked for again"
    assert source.error_frames == 1


def test_bus_off_by_read(rig: Rig) -> None:
    source = rig.open()
    rig.stage[Word.READ_CODE], rig.stage[Word.READ_CODES] = can_api.E_BUS_OFF, 1 << 30
    assert "bus-off" in str(failure_of(source))


@pytest.mark.usefixtures("soon")
def test_frames_after_bus_off_keep_the_bus_although_the_report_stays(rig: Rig) -> None:
    rig.stage[Word.RATE] = 200
    source = rig.open()
    rig.stage[Word.STATUS] = can_api.BUS_OFF
    asked = rig.stage[Word.STATUSES]
    wait(source, lambda: rig.stage[Word.STATUSES] > asked + 50)
    rig.stage[Word.STATUS] = can_api.BUS_OFF
    rig.stage[Word.LIMIT] = rig.stage[Word.MADE]
    asked = rig.stage[Word.STATUSES]
    wait(source, lambda: rig.stage[Word.STATUSES] > asked + 50)
    assert source.controller == "error-active"
    rig.stage.put(0, can_api.STS, 4, bytes([can_api.BUS_OFF, 0, 0, 0]))
    assert "bus-off" in str(failure_of(source))


def test_frames_between_codes_of_bus_off_keep_the_bus(rig: Rig) -> None:
    source = rig.open()
    rig.stage[Word.READ_CODE], rig.stage[Word.READ_CODES] = can_api.E_BUS_OFF, 5
    wait(source, lambda: rig.stage[Word.READ_CODES] == 0)
    rig.stage.put(0x55)
    assert [frame.arbitration_id for frame in collect(source, 1)] == [0x55]
    assert source.controller == "error-active"


@pytest.mark.usefixtures("soon")
def test_stopped_controller_ends_the_bus(rig: Rig) -> None:
    source = rig.open()
    rig.stage[Word.STATUS] = can_api.STOPPED
    assert "was stopped" in str(failure_of(source))


@pytest.mark.usefixtures("soon")
def test_overruns_by_the_librarys_own_count(rig: Rig) -> None:
    source = rig.open()
    rig.stage[Word.OVERRUNS] = 123
    wait(source, lambda: source.lost_adapter == 123)
    asked = rig.stage[Word.STATUSES]
    wait(source, lambda: rig.stage[Word.STATUSES] > asked + 3)
    assert source.lost_adapter == 123
    rig.stage[Word.OVERRUNS] = 130
    wait(source, lambda: source.lost_adapter == 130)


@pytest.mark.usefixtures("soon")
def test_overruns_count_once_if_there_is_only_a_flag(rig: Rig) -> None:
    rig.stage[Word.HAS_OVERRUNS] = 0
    source = rig.open()
    rig.stage[Word.STATUS] = can_api.QUEUE_OVERRUN
    asked = rig.stage[Word.STATUSES]
    wait(source, lambda: rig.stage[Word.STATUSES] > asked + 3)  # the flag stays set
    assert source.lost_adapter == 1
    rig.stage[Word.STATUS] = can_api.QUEUE_OVERRUN | can_api.MESSAGE_LOST
    wait(source, lambda: source.lost_adapter == 2)


@pytest.mark.parametrize(
    ("code", "lost", "errors"), [(can_api.E_MESSAGE_LOST, 3, 0), (can_api.E_QUEUE_OVERRUN, 3, 0), (-13, 0, 3)]
)
def test_codes_of_read_are_counted(rig: Rig, code: int, lost: int, errors: int) -> None:
    rig.stage[Word.HAS_OVERRUNS] = 0
    source = rig.open()
    rig.stage[Word.READ_CODE], rig.stage[Word.READ_CODES] = code, 3
    wait(source, lambda: rig.stage[Word.READ_CODES] == 0)
    rig.stage.put(0x55)
    assert [frame.arbitration_id for frame in collect(source, 1)] == [0x55]
    assert (source.lost_adapter, source.error_frames) == (lost, errors)


def cpu_share(source: Source, span_s: float) -> float:
    began, used = time.monotonic(), time.process_time()
    wait(source, lambda: time.monotonic() - began >= span_s)
    return (time.process_time() - used) / (time.monotonic() - began)


@pytest.mark.parametrize("impatient", [0, 1])
def test_silent_bus_costs_little_processor(rig: Rig, impatient: int) -> None:
    """Even if the library does not wait as long as requested."""
    rig.stage[Word.IMPATIENT] = impatient
    source = rig.open()
    assert cpu_share(source, 1.5) < 0.15
    assert rig.stage[Word.READS] < 600


def test_endless_errors_cost_little_processor(rig: Rig) -> None:
    source = rig.open()
    rig.stage[Word.READ_CODE], rig.stage[Word.READ_CODES] = -13, 1 << 30
    assert cpu_share(source, 1.0) < 0.2
    assert rig.stage[Word.READS] < 400


def test_frame_costs_little_processor(rig: Rig) -> None:
    rig.stage[Word.RATE], rig.stage[Word.LIMIT] = 9009, 9009
    used = time.process_time()
    source = rig.open()
    wait(source, lambda: rig.stage[Word.MADE] >= 9009)
    per_frame_us = (time.process_time() - used) / 9009 * 1e6
    assert per_frame_us < 50


def test_hanging_read_is_woken(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toucan_source, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(toucan_source, "_WAKE_AFTER_S", 0.5)
    source = rig.open()
    rig.stage[Word.HANG] = 1
    wait(source, lambda: rig.stage[Word.KILLS] >= 1)
    rig.stage[Word.HANG] = 0
    rig.stage.put(0x77)
    assert [frame.arbitration_id for frame in collect(source, 1)] == [0x77]


def test_library_that_never_returns_ends_the_bus_and_close_does_not_wait(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toucan_source, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(toucan_source, "_WAKE_AFTER_S", 0.4)
    monkeypatch.setattr(toucan_source, "_STUCK_AFTER_S", 0.8)
    source = rig.open()
    rig.stage[Word.HANG] = 2
    assert "has not returned from a call" in str(failure_of(source))
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < busy_limit_s(8)
    assert rig.stage[Word.EXITS] == 0


def test_messages_before_a_call_that_never_returns_are_delivered(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    returns, stuck = threading.Event(), threading.Event()
    calls = itertools.count()

    def read(_handle: int, _address: int, _wait_ms: int) -> int:
        if next(calls) < 3:
            return 0
        stuck.set()
        returns.wait()
        return can_api.E_RX_EMPTY

    class StuckLibrary(can_api.Library):
        def __init__(self, path: str) -> None:
            super().__init__(path)
            vars(self)["read"] = read

    monkeypatch.setattr(can_api, "Library", StuckLibrary)
    source = rig.open()
    assert stuck.wait(PATIENCE_S)
    begin_s = time.monotonic()
    looks_s = [begin_s + 1.1 * look for look in range(7)]  # the last one alone is beyond 6 s
    frames = [source.read(look_s).frames for look_s in looks_s]
    assert sum(frames) == 3
    with pytest.raises(BusError, match="has not returned from a call for 7 s"):
        source.read(begin_s + 8)
    returns.set()
    source.close()


def test_a_thread_that_stood_still_with_its_process_has_its_time_anew(rig: Rig) -> None:
    source = rig.open()
    rig.stage[Word.HANG] = 2
    begin_s = time.monotonic()
    source.read(begin_s)
    resumed_s = begin_s + 13
    for look in range(6):
        source.read(resumed_s + 1.1 * look)
    with pytest.raises(BusError, match="has not returned from a call for 7 s"):
        source.read(resumed_s + 6.6)
    source.close()


def test_close_stops_the_device_in_order_and_only_once(rig: Rig) -> None:
    rig.stage[Word.RATE] = 9009
    source = rig.open()
    collect(source, 100)
    descriptor = source.fileno()
    began = time.monotonic()
    source.close()
    source.close()
    assert time.monotonic() - began < busy_limit_s(5)
    assert (rig.stage[Word.RESETS], rig.stage[Word.EXITS]) == (1, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor or -1)
    reads = rig.stage[Word.READS]
    again = rig.open()
    collect(again, 100)
    assert rig.stage[Word.READS] > reads
