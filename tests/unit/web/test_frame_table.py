"""Rows of live frames: payloads, changed bits, counts, period and jitter."""

from __future__ import annotations

import pytest

from cancorderd.protocol.frame import EXTENDED, FD, Frame
from cancorderd.protocol.internal_packets import error_packet, remote_packet
from cancorderd.protocol.packets import WireError, encode, encode_all
from cancorderd.web import frame_table
from cancorderd.web.frame_table import FrameTable, RowUpdate, Ticks, key_text, row_key

SECOND_US = 1_000_000


def table_of(*frames: Frame) -> FrameTable:
    table = FrameTable()
    table.receive(encode_all(frames))
    return table


def rows(table: FrameTable) -> list[RowUpdate]:
    return [table.row(key, changed) for key, changed in table.updates().items()]


@pytest.mark.parametrize(
    ("arbitration_id", "flags", "text"),
    [
        (0x7, 0, "007"),
        (0x7E8, 0, "7E8"),
        (0x7, EXTENDED, "00000007"),
        (0x18DAF110, EXTENDED | FD, "18DAF110"),
    ],
)
def test_id_is_written_as_by_candump(arbitration_id: int, flags: int, text: str) -> None:
    assert key_text(row_key(arbitration_id, flags)) == text


def test_last_payload_and_every_bit_that_changed_since_the_last_updates() -> None:
    table = table_of(Frame(1, 0x10, 0, b"\x00\x00"))
    assert rows(table) == [["010", 0, "0000", "", 1, None, None]]
    table.receive(encode_all([Frame(2, 0x10, 0, b"\x01\x00"), Frame(3, 0x10, 0, b"\x00\x80")]))
    ((key, flags, data, changed, count, *_),) = rows(table)
    assert (key, flags, data, changed, count) == ("010", 0, "0080", "0180", 3)
    assert rows(table) == []


def test_a_payload_that_does_not_change_is_news_without_marks() -> None:
    table = table_of(Frame(1, 0x10, 0, b"\x05"))
    table.updates()
    table.receive(encode(Frame(2, 0x10, 0, b"\x05")))
    assert rows(table)[0][3:5] == ["", 2]


def test_after_a_change_of_length_every_byte_has_changed() -> None:
    table = table_of(Frame(1, 0x10, 0, b"\x05"), Frame(2, 0x10, 0, b"\x05\x06\x07"))
    assert rows(table)[0][2:4] == ["050607", "FFFFFF"]
    table.receive(encode(Frame(3, 0x10, 0, b"")))
    assert rows(table)[0][2:4] == ["", ""]


def test_period_and_jitter_of_a_regular_id() -> None:
    table = table_of(*(Frame(at * 10_000, 0x10) for at in range(100)))
    assert rows(table)[0][5:] == [10.0, 0.0]


def test_jitter_of_an_id_that_comes_early_and_late_in_turn() -> None:
    table = table_of(*(Frame(at * 10_000 + (at % 2) * 2000, 0x10) for at in range(200)))
    period, jitter = rows(table)[0][5:]
    assert isinstance(period, float)
    assert isinstance(jitter, float)
    assert abs(period - 10) < 0.3
    assert abs(jitter - 2) < 0.1


@pytest.mark.parametrize("gap_us", [3600 * SECOND_US, -5 * SECOND_US])
def test_averages_start_over_after_a_long_pause_and_after_a_step_of_the_clock(gap_us: int) -> None:
    start = 4000 * SECOND_US
    before = [Frame(start + at * 10_000, 0x10) for at in range(20)]
    after = [Frame(start + gap_us + at * 20_000, 0x10) for at in range(20)]
    assert rows(table_of(*before, *after))[0][4:] == [40, 20.0, 0.0]


def test_a_slow_id_keeps_its_period() -> None:
    assert rows(table_of(*(Frame(at * 9 * SECOND_US, 0x10) for at in range(5))))[0][5:] == [9000.0, 0.0]


def test_packets_that_are_cut_anywhere_give_the_same_rows() -> None:
    frames = [Frame(at, at % 5, FD, bytes([at % 256]) * 12) for at in range(50)]
    data = encode_all(frames) + remote_packet(1, 0x10, 8, extended=False) + error_packet(1, 4)
    whole = FrameTable()
    whole.receive(data)
    piecewise = FrameTable()
    for at in range(len(data)):
        piecewise.receive(data[at : at + 1])
    assert rows(whole) == rows(piecewise)
    assert whole.errors == piecewise.errors == 1


def test_remote_frames_have_a_row_of_their_own_and_error_frames_are_counted() -> None:
    table = table_of(Frame(1, 0x10, 0, b"\x01"))
    table.receive(remote_packet(2, 0x10, 8, extended=False) + error_packet(3, 4) + encode(Frame(4, 0x11)))
    assert [row[0] for row in rows(table)] == ["010", "010R", "011"]
    assert table.errors == 1


def test_ids_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_table, "MOST_ROWS", 2)
    table = table_of(*(Frame(1, at) for at in (1, 2, 3, 1, 4)))
    assert [row[0] for row in rows(table)] == ["001", "002"]
    assert table.left_out == 2


def test_a_stream_that_is_none_is_refused() -> None:
    with pytest.raises(WireError, match="length byte is 255"):
        FrameTable().receive(b"\xff" * 14)


def test_a_page_that_missed_ticks_gets_all_bits_that_changed_meanwhile() -> None:
    table, ticks = table_of(Frame(1, 0x10, 0, b"\x00\x00")), Ticks()
    for at, data in enumerate((b"\x01\x00", b"\x00\x00", b"\x00\x10")):
        table.receive(encode(Frame(at, 0x10, 0, data)))
        ticks.add(table.updates())
    key = row_key(0x10, 0)
    assert ticks.since(3) == {}
    assert ticks.since(2) == {key: 0x0010}
    assert ticks.since(0) == {key: 0x0110}
    assert table.row(key, 0x0110)[:5] == ["010", 0, "0010", "0110", 4]


def test_a_page_that_is_too_far_behind_needs_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_table, "MOST_TICKS", 2)
    ticks = Ticks()
    for key in (1, 2, 3):
        ticks.add({key: 0})
    assert ticks.since(1) == {2: 0, 3: 0}
    assert ticks.since(0) is None


def test_a_payload_that_became_shorter_has_no_marks_beyond_its_end() -> None:
    table, ticks = table_of(Frame(1, 0x10, 0, b"\x00\x00")), Ticks()
    for data in (b"\xff\x00", b"\x00"):
        table.receive(encode(Frame(2, 0x10, 0, data)))
        ticks.add(table.updates())
    found = ticks.since(0)
    assert found
    ((key, changed),) = found.items()
    assert table.row(key, changed)[2:4] == ["00", "FF"]


def test_a_page_that_needs_every_row_learns_all_bits_that_ever_changed() -> None:
    table = table_of(Frame(1, 0x10, 0, b"\x00\x00"))
    for data in (b"\x01\x00", b"\x00\x00", b"\x00\x10"):
        table.receive(encode(Frame(2, 0x10, 0, data)))
        table.updates()
    assert [row[:4] for row in table.all_rows()] == [["010", 0, "0010", "0110"]]
