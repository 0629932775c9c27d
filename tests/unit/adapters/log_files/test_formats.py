"""Every format that python-can writes: the same frames as python-can reads, and its good part if it is damaged."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import can
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cancorderd.adapters.failures import BusFailure
from cancorderd.adapters.log_files.entries import Flaw, Kind, LogFrame
from cancorderd.adapters.log_files.text_log import parser_for, text_entries
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD
from tests.unit.adapters.log_files.reading import frames_and_flaws, numbered, payloads, write

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ["log", "asc", "blf", "trc", "csv", "db"]
WITH_FD = ["log", "asc", "blf"]
TEXTS = ["log", "asc", "trc", "csv"]


def random_message(chance: random.Random, stamp_s: float, *, fd: bool, remote: bool) -> can.Message:
    extended = chance.random() < 0.5
    kind = chance.choice(["data"] * 6 + ["remote"] * remote + ["fd"] * 3 * fd)
    length = chance.choice([0, 1, 7, 8, 12, 64]) if kind == "fd" else chance.randrange(9)
    return can.Message(
        timestamp=stamp_s,
        arbitration_id=chance.randrange(1 << (29 if extended else 11)),
        is_extended_id=extended,
        is_remote_frame=kind == "remote",
        is_fd=kind == "fd",
        bitrate_switch=kind == "fd" and chance.random() < 0.5,
        error_state_indicator=kind == "fd" and chance.random() < 0.5,
        data=b"" if kind == "remote" else chance.randbytes(length),
        dlc=length,
        channel=chance.randrange(2),
    )


def as_frame(message: can.Message) -> tuple[Kind, int, int, bytes]:
    flags = EXTENDED if message.is_extended_id else 0
    if message.is_remote_frame:
        return Kind.REMOTE, message.arbitration_id, flags, b""
    if message.is_fd:
        flags |= FD
        flags |= (BRS if message.bitrate_switch else 0) | (ESI if message.error_state_indicator else 0)
    return Kind.DATA, message.arbitration_id, flags, bytes(message.data)


@pytest.mark.parametrize("suffix", FORMATS)
def test_frames_are_those_that_were_written(tmp_path: Path, suffix: str) -> None:
    chance = random.Random(suffix)
    messages = [
        random_message(chance, 1000 + number / 100, fd=suffix in WITH_FD, remote=suffix != "trc")
        for number in range(400)
    ]
    found, flaws = frames_and_flaws(write(tmp_path / f"a.{suffix}", messages))
    assert [(frame.kind, *frame[3:6]) for frame in found] == list(map(as_frame, messages))
    if suffix != "log":  # python-can writes no lengths of remote frames there
        codes = [message.dlc for message in messages if message.is_remote_frame]
        assert [frame.code for frame in found if frame.kind is Kind.REMOTE] == codes
    assert not flaws
    distances = [frame.stamp_s - found[0].stamp_s for frame in found]
    assert distances == pytest.approx([number / 100 for number in range(400)], abs=2e-3)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_name_that_says_another_format_changes_nothing(tmp_path: Path, suffix: str) -> None:
    original = write(tmp_path / f"a.{suffix}", numbered(20))
    whole = payloads(original)
    assert len(whole) == 20
    for name in ("b.log", "b.asc", "b.blf", "b.db", "b.txt", "b", "b.LOG"):
        copy = tmp_path / name
        copy.write_bytes(original.read_bytes())
        assert payloads(copy) == whole, name


@pytest.mark.parametrize("suffix", TEXTS)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings_and_line_ends(tmp_path: Path, suffix: str, end: bytes, encoding: str) -> None:
    comment = "// gro\xdf\n" if suffix == "asc" else "; gro\xdf\n"
    text = write(tmp_path / f"a.{suffix}", numbered(30)).read_bytes().decode().replace("\r\n", "\n")
    if suffix == "asc":
        text = text.replace("date ", f"{comment}date ", 1)
    else:
        text += comment
    path = tmp_path / f"b.{suffix}"
    path.write_bytes(text.replace("\n", end.decode()).encode(encoding))
    found, flaws = frames_and_flaws(path)
    assert [frame.data for frame in found] == [bytes(message.data) for message in numbered(30)]
    assert not flaws


@pytest.mark.parametrize("suffix", [*TEXTS, "blf"])
def test_cut_anywhere_it_gives_its_first_frames(tmp_path: Path, suffix: str) -> None:
    content = write(tmp_path / f"a.{suffix}", numbered(60)).read_bytes()
    whole = [bytes(message.data) for message in numbered(60)]
    path = tmp_path / f"b.{suffix}"
    chance = random.Random(suffix)
    for length in sorted(chance.randrange(len(content)) for _ in range(25)):
        path.write_bytes(content[:length])
        found = payloads(path)
        assert found == whole[: len(found)], length


@pytest.mark.parametrize("suffix", TEXTS)
def test_cut_last_line_is_said_to_be_cut(tmp_path: Path, suffix: str) -> None:
    *lines, last = write(tmp_path / f"a.{suffix}", numbered(60)).read_bytes().splitlines(keepends=True)
    if suffix == "asc":
        lines, last = lines[:-1], lines[-1]
    path = tmp_path / f"b.{suffix}"
    path.write_bytes(b"".join(lines) + last.rstrip()[:-3])
    found, flaws = frames_and_flaws(path)
    assert [frame.data for frame in found] == [bytes(message.data) for message in numbered(59)]
    assert [flaw.number for flaw in flaws] == [len(lines) + 1]
    assert "the last line is cut" in flaws[0].fact
    path.write_bytes(b"".join(lines) + last.rstrip())
    assert len(payloads(path)) == 60, "a whole line needs no end"


def test_database_that_was_cut_gives_its_first_rows_and_says_so(tmp_path: Path) -> None:
    content = write(tmp_path / "a.db", numbered(450)).read_bytes()
    whole = [bytes(message.data) for message in numbered(450)]
    path = tmp_path / "b.db"
    path.write_bytes(content[: len(content) // 4096 // 2 * 4096])
    found, flaws = frames_and_flaws(path)
    assert len(found) > 100
    assert [frame.data for frame in found] == whole[: len(found)]
    assert "damaged from here to the end" in flaws[-1].fact
    for length in range(4096, len(content), 1500):
        path.write_bytes(content[:length])
        assert frames_and_flaws(path)[1], length


def test_damaged_page_of_a_database_costs_its_rows_alone(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "a.db", numbered(450)).read_bytes())
    content[3 * 4096 : 4 * 4096] = b"\x99" * 4096
    path = tmp_path / "b.db"
    path.write_bytes(content)
    found, flaws = frames_and_flaws(path)
    numbers = [int.from_bytes(frame.data[:4], "big") for frame in found]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1]) == (0, 449)
    assert 300 < len(numbers) < 450
    assert len(flaws) == 1


@pytest.mark.parametrize("suffix", TEXTS)
def test_every_bad_line_is_named_and_the_others_are_frames(tmp_path: Path, suffix: str) -> None:
    lines = write(tmp_path / f"a.{suffix}", numbered(30)).read_bytes().splitlines()
    bad = [b"\xff\xfe garbage", b"x" * 100_000, b"\0" * 4096, b"(1.0) can0 12#ZZ", b"12,34", b"%&/()"]
    for number, line in enumerate(bad):
        lines.insert(len(lines) - 20 + number, line)
    path = tmp_path / f"b.{suffix}"
    path.write_bytes(b"\n".join(lines) + b"\n")
    found, flaws = frames_and_flaws(path)
    assert [frame.data for frame in found] == [bytes(message.data) for message in numbered(30)]
    assert {flaw.number for flaw in flaws} == {lines.index(line) + 1 for line in bad}


@pytest.mark.parametrize("suffix", [*TEXTS, "blf"])
def test_compressed_logs_whole_cut_damaged_and_in_several_members(tmp_path: Path, suffix: str) -> None:
    content = write(tmp_path / f"a.{suffix}", numbered(500)).read_bytes()
    whole = [bytes(message.data) for message in numbered(500)]
    compressed = gzip.compress(content, mtime=0)
    path = tmp_path / f"b.{suffix}.gz"
    path.write_bytes(compressed)
    assert payloads(path) == whole
    (tmp_path / "named_wrongly.log").write_bytes(compressed)
    assert payloads(tmp_path / "named_wrongly.log") == whole
    path.write_bytes(gzip.compress(content[:5000]) + bytes(512) + gzip.compress(content[5000:]))
    assert payloads(path) == whole

    path.write_bytes(compressed[: len(compressed) // 2])
    found, flaws = frames_and_flaws(path)
    assert [frame.data for frame in found] == whole[: len(found)]
    assert len(found) > 0
    assert any("cut" in flaw.fact for flaw in flaws)

    path.write_bytes(compressed[:-8] + bytes(8))  # the checksum of a file that is otherwise good
    found, flaws = frames_and_flaws(path)
    assert [frame.data for frame in found] == whole
    assert any("damaged" in flaw.fact for flaw in flaws)


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32))
def test_damage_anywhere_ends_and_raises_nothing(tmp_path: Path, suffix: str, seed: int) -> None:
    chance = random.Random(seed)
    original = tmp_path / f"a.{suffix}"
    if not original.exists():
        write(original, numbered(40))
    content = bytearray(original.read_bytes())
    for _ in range(chance.randrange(1, 12)):
        position = chance.randrange(len(content))
        if chance.random() < 0.2:
            del content[position : position + chance.randrange(200)]
            content += b"\0"
        else:
            content[position] = chance.randrange(256)
    path = tmp_path / f"b.{suffix}"
    path.write_bytes(content)
    try:
        found, flaws = frames_and_flaws(path)
    except BusFailure:
        return
    assert len(found) + len(flaws) < 1000


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from(["(1.0) can0 ", "1.0 1 ", "1.0 CANFD 1 ", "  1)  10 ", "1,2,0,0,0,"]),
)
def test_no_text_raises(noise: bytes, beginning: str) -> None:
    head = beginning.encode() + noise
    for suffix in (".log", ".asc", ".csv", ".trc"):
        parser, _ = parser_for(suffix, head)
        assert parser
        assert all(isinstance(entry, Flaw | LogFrame) for entry in text_entries(parser, [head]))
