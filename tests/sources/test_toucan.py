"""The decoder by itself; the source on an emulated library (tests/adapters/toucan.c), through its real API."""

from __future__ import annotations

import itertools
import json
import os
import select
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.errors import AdapterAbsent, BusError, BusFailure, SettingsRefused
from cancorderd.frame import BRS, DLC_LENGTHS, ESI, EXTENDED, FD, Batch, Frame
from cancorderd.report import section_from_json
from cancorderd.sources import can_api, open_source, toucan
from cancorderd.sources.toucan import Decoder, controller_state
from cancorderd.wire import PacketDecoder
from tests.adapters.toucan_stage import Stage, Word
from tests.harness import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cancorderd.sources.base import Source

PATIENCE_S = 20.0
EPOCH = 1_700_000_000_000_000
DATA = bytes(range(64))

FD_MODES = 0xCF


def frames_of(batch: Batch) -> list[Frame]:
    decoder = PacketDecoder()
    decoder.receive(batch.packets)
    frames = list(decoder.frames())
    assert decoder.pending == 0
    assert len(frames) == batch.frames
    return frames


# The decoder


def message(can_id: int, bits: int = 0, code: int = 8, data: bytes = DATA, stamp_us: int = 1) -> bytes:
    seconds, micros = divmod(stamp_us, 1_000_000)
    return can_api.MESSAGE.pack(can_id, bits, code, data, seconds, micros * 1000)


def decode(decoder: Decoder, *messages: bytes, now_us: int = EPOCH) -> list[Frame]:
    return frames_of(decoder.decode(memoryview(b"".join(messages)), now_us))


CASES = [
    (message(0x123, 0, 8), Frame(EPOCH, 0x123, 0, DATA[:8])),
    (message(0x7FF, 0, 0), Frame(EPOCH, 0x7FF, 0, b"")),
    (message(0x123, can_api.XTD, 3), Frame(EPOCH, 0x123, EXTENDED, DATA[:3])),
    (message(0x1FFFFFFF, can_api.XTD, 8), Frame(EPOCH, 0x1FFFFFFF, EXTENDED, DATA[:8])),
    # classic frames may be sent with DLC above 8, and hold 8 bytes (ISO 11898-1:2015, 10.4.2.4)
    (message(0x123, 0, 15), Frame(EPOCH, 0x123, 0, DATA[:8])),
    (message(0x123, can_api.FDF, 9), Frame(EPOCH, 0x123, FD, DATA[:12])),
    (message(0x123, can_api.FDF | can_api.BRS, 15), Frame(EPOCH, 0x123, FD | BRS, DATA)),
    (message(0x123, can_api.FDF | can_api.ESI, 8), Frame(EPOCH, 0x123, FD | ESI, DATA[:8])),
    # no BRS and ESI without FD
    (message(0x123, can_api.BRS | can_api.ESI, 8), Frame(EPOCH, 0x123, 0, DATA[:8])),
]


@pytest.mark.parametrize(("given_message", "frame"), CASES)
def test_a_message_becomes_a_packet(given_message: bytes, frame: Frame) -> None:
    assert decode(Decoder(), given_message) == [frame]


@pytest.mark.parametrize("code", range(16))
def test_the_dlc_code_becomes_a_length(code: int) -> None:
    (frame,) = decode(Decoder(), message(1, can_api.FDF, code))
    assert len(frame.data) == DLC_LENGTHS[code]


@pytest.mark.parametrize(
    ("bad", "remote", "error"),
    [
        (message(0x123, can_api.RTR, 8), 1, 0),
        (message(0, can_api.STS, 4, b"\0\0\0\0"), 0, 1),
        (message(0x800, 0, 8), 0, 1),
        (message(0x2000_0000, can_api.XTD, 8), 0, 1),
        (message(0x123, can_api.FDF, 16), 0, 1),
    ],
)
def test_what_has_no_form_is_counted(bad: bytes, remote: int, error: int) -> None:
    decoder = Decoder()
    good = message(1, 0, 0, stamp_us=7)
    assert len(decode(decoder, good, bad, good)) == 2
    assert (decoder.remote_frames, decoder.error_frames) == (remote, error)


def test_a_status_message_tells_the_bus() -> None:
    decoder = Decoder()
    decode(decoder, message(0, can_api.STS, 4, b"\x21\0\0\0"))
    assert decoder.status == can_api.WARNING
    decode(decoder, message(0, can_api.STS, 0, b"\x40"))  # without data it tells nothing
    assert decoder.status == can_api.WARNING


def test_filters_let_through_what_they_name() -> None:
    decoder = Decoder(lambda can_id, extended: can_id == 0x100 and not extended)
    frames = decode(decoder, message(0x100), message(0x100, can_api.XTD), message(0x101))
    assert [(frame.arbitration_id, frame.flags) for frame in frames] == [(0x100, 0)]


def test_stamps_keep_the_adapters_distances_over_its_wrap() -> None:
    decoder = Decoder()
    before, after = (1 << 32) - 300, (1 << 32) + 200
    (first,) = decode(decoder, message(1, stamp_us=before), now_us=EPOCH)
    # the library stretched one stamp over the wrap, and another not
    (second,) = decode(decoder, message(1, stamp_us=after), now_us=EPOCH + 900)
    (third,) = decode(decoder, message(1, stamp_us=after % (1 << 32) + 50), now_us=EPOCH + 1200)
    assert [first.timestamp_us, second.timestamp_us, third.timestamp_us] == [EPOCH, EPOCH + 500, EPOCH + 550]


def test_what_was_read_late_as_one_is_not_taken_for_on_time() -> None:
    """The thread did not come to read for 0.2 s: the last frame is new, the first is not."""
    messages = [message(1, stamp_us=1 + at) for at in range(0, 200_001, 1000)]
    stamps = [frame.timestamp_us for frame in decode(Decoder(), *messages, now_us=EPOCH)]
    assert stamps == list(range(EPOCH - 200_000, EPOCH + 1, 1000))


def test_messages_out_of_order_do_not_turn_back() -> None:
    frames = decode(Decoder(), message(1, stamp_us=500), message(2, stamp_us=400), message(3, stamp_us=450))
    stamps = [frame.timestamp_us for frame in frames]
    assert stamps == sorted(stamps)
    assert stamps[0] >= EPOCH - 100
    assert stamps[-1] <= EPOCH + 100


def test_without_stamps_it_is_the_arrival() -> None:
    decoder = Decoder()
    assert decode(decoder, message(1, stamp_us=0), now_us=EPOCH + 5)[0].timestamp_us == EPOCH + 5


@given(st.lists(st.sampled_from([case[0] for case in CASES]), max_size=20), st.data())
def test_any_split_gives_the_same_frames(messages: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(messages)))
    decoder = Decoder()
    split = decode(decoder, *messages[:cut]) + decode(decoder, *messages[cut:])
    assert split == decode(Decoder(), *messages)


@pytest.mark.parametrize(
    ("bits", "state"),
    [(0, "error-active"), (0x11, "error-active"), (0x30, "error-warning"), (0x60, "bus-off")],
)
def test_status_bits_are_a_controller_state(bits: int, state: str) -> None:
    assert controller_state(bits) == state


# The source


class Rig:
    """A stage, and the sources that were opened on it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.sources: list[Source] = []

    def open(self, **settings: Any) -> Source:
        section = {
            "interface": "toucan", "channel": 0, "bitrate": 500_000, "data_bitrate": None, "fd": False,
            "listen_only": False, "sample_point": None, "filters": [], "library": self.stage.library,
        }  # fmt: skip
        source = open_source(section_from_json(json.dumps(section | settings)))
        self.sources.append(source)
        return source

    def close(self) -> None:
        self.stage[Word.HANG] = 0
        for source in self.sources:
            source.close()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with Stage(tmp_path) as stage:
        monkeypatch.setenv("TOUCAN_STAGE", stage.file)
        rig = Rig(stage)
        yield rig
        rig.close()
        left = [thread for thread in threading.enumerate() if thread.name == "read"]
        for thread in left:
            thread.join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in left)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status is asked 50 times a second."""
    monkeypatch.setattr(toucan, "_STATUS_EVERY_S", 0.02)


def drive(source: Source, until: Callable[[], object], *, what: str = "") -> Iterator[Batch]:
    """Do as the worker's loop does: wait on the descriptor, read; until `until`, for PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    descriptor = source.fileno()
    assert descriptor is not None
    while not until():
        due = source.due(time.monotonic())
        readable = select.select([descriptor], [], [], 0.05 if due is None else min(due, 0.05))[0]
        if readable or (due is not None and due <= 0.05):
            yield source.read(time.monotonic())
        assert time.monotonic() < deadline, f"not in time: {what or until}"


def collect(source: Source, count: int, lost: Callable[[], int] = lambda: 0) -> list[Frame]:
    """At least `count` frames, less those that are known to be lost."""
    frames: list[Frame] = []

    def complete() -> bool:
        return len(frames) + lost() >= count

    for batch in drive(source, complete, what=f"{count} frames"):
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


def test_a_loop_that_stands_still_costs_no_memory_and_loss_is_counted(rig: Rig) -> None:
    rig.stage[Word.RATE], rig.stage[Word.LIMIT] = 2_000_000, 400_000
    source = rig.open()
    # Nothing is taken: what is held fills up, then the library's queue.
    poll(lambda: rig.stage[Word.MADE] >= 65_536)
    frames = frames_of(source.read(time.monotonic()))
    assert len(frames) <= 65_536 + 256
    frames += collect(source, 400_000 - len(frames), lambda: source.lost_adapter)
    assert len(frames) + source.lost_adapter == 400_000
    assert source.lost_adapter > 0
    assert numbers(frames) == sorted(set(numbers(frames)))


def test_stamps_are_the_adapters(rig: Rig) -> None:
    rig.stage[Word.STAMP_START] = (1 << 32) - 500_000  # wraps on the way
    rig.stage[Word.RATE], rig.stage[Word.LIMIT] = 1000, 1500
    opened_us = time.time_ns() // 1000
    source = rig.open()
    stamps = [frame.timestamp_us for frame in collect(source, 1500)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    assert min(gaps) > 990
    assert max(gaps) < 1010
    assert opened_us <= stamps[0]
    assert stamps[-1] <= time.time_ns() // 1000 + 20_000  # as late as the first read may have been


@pytest.mark.parametrize(
    ("bitrate", "index"),
    [(1_000_000, 0), (500_000, -2), (250_000, -3), (125_000, -4), (100_000, -5), (50_000, -6),
     (20_000, -7), (10_000, -8)],
)  # fmt: skip
def test_predefined_bitrates_go_by_index(rig: Rig, bitrate: int, index: int) -> None:
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
def test_other_rates_go_by_timing(
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
def test_what_cannot_be_is_refused(rig: Rig, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsRefused, match=message):
        rig.open(**settings)
    assert rig.stage[Word.INITS] == rig.stage[Word.EXITS]


def test_data_bitrate_beyond_the_clock_is_refused(rig: Rig) -> None:
    rig.stage[Word.CAPABILITY] = FD_MODES
    with pytest.raises(SettingsRefused, match="TouCAN has no data_bitrate 8000000: its 50 MHz clock"):
        rig.open(fd=True, data_bitrate=8_000_000)
    assert rig.stage[Word.EXITS] == 1


def test_listen_only_is_monitor_mode(rig: Rig) -> None:
    rig.open(listen_only=True)
    assert rig.stage[Word.MODE] == can_api.MON | can_api.ERR


def test_an_adapter_that_cannot_listen_only_is_refused(rig: Rig) -> None:
    rig.stage[Word.CAPABILITY] = can_api.ERR
    with pytest.raises(SettingsRefused, match=r"cannot listen only\. Set listen_only = false"):
        rig.open(listen_only=True)


def test_status_messages_are_done_without_where_there_are_none(rig: Rig) -> None:
    rig.stage[Word.CAPABILITY] = 0
    rig.open()
    assert rig.stage[Word.MODE] == 0


def test_a_library_of_another_layout_is_refused(rig: Rig) -> None:
    rig.stage[Word.CLASSIC_LAYOUT] = 1
    with pytest.raises(SettingsRefused, match=r"CAN 2\.0 alone"):
        rig.open()
    assert rig.stage[Word.EXITS] == 1


def test_an_absent_adapter_is_waited_for(rig: Rig) -> None:
    rig.stage.unplug()
    with pytest.raises(AdapterAbsent, match=r"there is no TouCAN channel 0\. Plug the adapter in"):
        rig.open()
    rig.stage.plug()
    source = rig.open()
    rig.stage.put(1)
    collect(source, 1)


def test_a_channel_of_another_program_is_an_error(rig: Rig) -> None:
    rig.stage[Word.OCCUPIED] = 1
    with pytest.raises(BusError, match="in use by another program"):
        rig.open()


def test_filters_count(rig: Rig) -> None:
    source = rig.open(filters=[{"id": 0x200, "mask": 0x700, "extended": False}])
    for can_id in (0x100, 0x2FF, 0x300, 0x200):
        rig.stage.put(can_id)
    assert [frame.arbitration_id for frame in collect(source, 2)] == [0x2FF, 0x200]


def test_what_library_and_adapter_say_is_told(rig: Rig) -> None:
    details = rig.open().details
    assert details == {
        "library": "emulated TouCAN, CAN API V3",
        "hardware": "TouCAN-USB, hardware 1.0.0 (s/n 00000042)",
        "firmware": "TouCAN-USB, firmware 1.0.1 (www.rusoku.com)",
        "timing": "500000 bit/s, sample point 75.0 %",
    }


def test_unplugged_is_noticed_within_two_seconds_and_replugged_works(rig: Rig) -> None:
    source = rig.open()
    rig.stage.put(0x42)
    collect(source, 1)
    rig.stage.unplug()
    began = time.monotonic()
    error = failure_of(source)
    assert isinstance(error, BusError)
    assert str(error) == "TouCAN channel 0 is gone: device not there (-92). Plug the adapter in again."
    assert time.monotonic() - began < 2.0
    source.close()
    with pytest.raises(AdapterAbsent):
        rig.open()
    rig.stage.plug()
    again = rig.open()
    rig.stage.put(0x43)
    assert [frame.arbitration_id for frame in collect(again, 1)] == [0x43]


@pytest.mark.usefixtures("soon")
def test_what_came_before_the_end_is_delivered(rig: Rig) -> None:
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
def test_a_status_that_fails_ends_the_bus(rig: Rig, code: int) -> None:
    source = rig.open()
    rig.stage[Word.STATUS_CODE] = code
    assert isinstance(failure_of(source), BusError)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("code", [can_api.E_TX_BUSY, can_api.E_TIMEOUT, -101])
def test_a_busy_adapter_is_asked_three_times(rig: Rig, code: int) -> None:
    source = rig.open()
    wait(source, lambda: rig.stage[Word.STATUSES] >= 1)
    rig.stage[Word.STATUS_CODE] = code
    asked = rig.stage[Word.STATUSES]
    assert isinstance(failure_of(source), BusError)
    assert rig.stage[Word.STATUSES] - asked >= 3


@pytest.mark.usefixtures("soon")
def test_bus_off_is_told_by_the_status(rig: Rig) -> None:
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


def test_bus_off_is_told_by_a_status_message_at_once(rig: Rig) -> None:
    source = rig.open()
    rig.stage.put(0x11)
    collect(source, 1)
    rig.stage[Word.STATUS] = can_api.BUS_OFF
    rig.stage.put(0, can_api.STS, 4, bytes([can_api.BUS_OFF, 0, 0, 0]))
    began = time.monotonic()
    assert "bus-off" in str(failure_of(source))
    assert time.monotonic() - began < 0.9
    assert source.error_frames == 1


def test_bus_off_is_told_by_read(rig: Rig) -> None:
    source = rig.open()
    rig.stage[Word.READ_CODE], rig.stage[Word.READ_CODES] = can_api.E_BUS_OFF, 1 << 30
    assert "bus-off" in str(failure_of(source))


@pytest.mark.usefixtures("soon")
def test_a_controller_that_was_stopped_ends_the_bus(rig: Rig) -> None:
    source = rig.open()
    rig.stage[Word.STATUS] = can_api.STOPPED
    assert "was stopped" in str(failure_of(source))


@pytest.mark.usefixtures("soon")
def test_overruns_are_counted_by_the_librarys_own_count(rig: Rig) -> None:
    source = rig.open()
    rig.stage[Word.OVERRUNS] = 123
    wait(source, lambda: source.lost_adapter == 123)
    asked = rig.stage[Word.STATUSES]
    wait(source, lambda: rig.stage[Word.STATUSES] > asked + 3)
    assert source.lost_adapter == 123
    rig.stage[Word.OVERRUNS] = 130
    wait(source, lambda: source.lost_adapter == 130)


@pytest.mark.usefixtures("soon")
def test_overruns_are_counted_once_where_only_the_flag_tells(rig: Rig) -> None:
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
def test_a_silent_bus_is_not_spun_on(rig: Rig, impatient: int) -> None:
    """Also where the library does not wait as it is asked to."""
    rig.stage[Word.IMPATIENT] = impatient
    source = rig.open()
    assert cpu_share(source, 1.5) < 0.15
    assert rig.stage[Word.READS] < 600


def test_an_adapter_that_errs_without_end_is_not_spun_on(rig: Rig) -> None:
    source = rig.open()
    rig.stage[Word.READ_CODE], rig.stage[Word.READ_CODES] = -13, 1 << 30
    assert cpu_share(source, 1.0) < 0.2
    assert rig.stage[Word.READS] < 400


def test_a_frame_costs_little_processor(rig: Rig) -> None:
    rig.stage[Word.RATE], rig.stage[Word.LIMIT] = 9009, 9009
    used = time.process_time()
    source = rig.open()
    wait(source, lambda: rig.stage[Word.MADE] >= 9009)
    per_frame_us = (time.process_time() - used) / 9009 * 1e6
    assert per_frame_us < 50


def test_a_read_that_hangs_is_woken(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toucan, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(toucan, "_WAKE_AFTER_S", 0.5)
    source = rig.open()
    rig.stage[Word.HANG] = 1
    wait(source, lambda: rig.stage[Word.KILLS] >= 1)
    rig.stage[Word.HANG] = 0
    rig.stage.put(0x77)
    assert [frame.arbitration_id for frame in collect(source, 1)] == [0x77]


def test_a_library_that_never_returns_ends_the_bus_and_close_does_not_wait(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toucan, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(toucan, "_WAKE_AFTER_S", 0.4)
    monkeypatch.setattr(toucan, "_STUCK_AFTER_S", 0.8)
    source = rig.open()
    rig.stage[Word.HANG] = 2
    assert "has not come back from a call" in str(failure_of(source))
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 3
    assert rig.stage[Word.EXITS] == 0


def test_close_stops_the_device_in_order_and_twice_is_once(rig: Rig) -> None:
    rig.stage[Word.RATE] = 9009
    source = rig.open()
    collect(source, 100)
    descriptor = source.fileno()
    began = time.monotonic()
    source.close()
    source.close()
    assert time.monotonic() - began < 2
    assert (rig.stage[Word.RESETS], rig.stage[Word.EXITS]) == (1, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor or -1)
    reads = rig.stage[Word.READS]
    again = rig.open()
    collect(again, 100)
    assert rig.stage[Word.READS] > reads
