from __future__ import annotations

import random
import struct
import zlib
from time import process_time
from typing import TYPE_CHECKING

from cancorderd.adapters.log_files.blf import blf_entries
from cancorderd.adapters.log_files.entries import Flaw, LogFrame
from tests.support.harness import busy_limit_s

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = struct.pack("<4sL", b"LOGG", 144).ljust(144, b"\0")


def an_object(number: int, size: int | None = None, kind: int = 1) -> bytes:
    body = struct.pack("<LHHQ", 2, 0, 0, number * 1_000_000) + struct.pack("<HBBL", 1, 0, 8, 0x100)
    body += number.to_bytes(8, "big")
    return struct.pack("<4sHHLL", b"LOBJ", 32, 1, len(body) + 16 if size is None else size, kind) + body


def test_stamp_has_the_unit_of_its_object() -> None:
    for unit, stamp, seconds in ((2, 1_500_000_000, 1.5), (1, 150_000, 1.5)):
        whole = an_object(0)
        body = struct.pack("<LHHQ", unit, 0, 0, stamp) + whole[32:]
        (frame,) = blf_entries([HEADER, whole[:16] + body])
        assert isinstance(frame, LogFrame)
        assert abs(frame.stamp_s - seconds) < 1e-9


def container(contents: bytes, *, method: int = 2, change: Callable[[bytes], bytes] = bytes) -> bytes:
    packed = struct.pack("<H6xL4x", method, len(contents))
    packed += change(zlib.compress(contents) if method == 2 else contents)
    return struct.pack("<4sHHLL", b"LOBJ", 16, 1, len(packed) + 16, 10) + packed + bytes(len(packed) % 4)


def objects(first: int, end: int) -> bytes:
    return b"".join(an_object(number) for number in range(first, end))


def read(*parts: bytes) -> tuple[list[int], list[str]]:
    """Return the numbers of the frames, and the facts of the flaws."""
    found = list(blf_entries([HEADER, *parts]))
    frames = [int.from_bytes(entry.data, "big") for entry in found if isinstance(entry, LogFrame)]
    return frames, [entry.fact for entry in found if isinstance(entry, Flaw)]


def test_objects_in_containers_of_either_kind_across_their_borders_and_without_any() -> None:
    data = objects(0, 20)
    assert read(container(data[:500]), container(data[500:])) == (list(range(20)), [])
    assert read(container(data[:500], method=0), container(data[500:], method=0)) == (list(range(20)), [])
    assert read(data) == (list(range(20)), [])


def test_any_split_gives_the_same_frames() -> None:
    file = container(objects(0, 50)) + container(objects(50, 60), method=0)
    chance = random.Random(1)
    for _ in range(20):
        cuts = sorted(chance.randrange(len(file)) for _ in range(6))
        parts = [file[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(file)], strict=True)]
        assert read(*parts) == (list(range(60)), [])


def test_object_of_size_0_is_a_flaw_and_the_frames_behind_it_follow() -> None:
    for size in (0, 1, 15, 0xFFFF_FFFF):
        data = objects(0, 5) + an_object(99, size) + objects(5, 10)
        assert read(container(data)) == (list(range(10)), ["a damaged object"]), size
        assert read(data) == (list(range(10)), ["a damaged object"]), size


def test_container_of_size_0() -> None:
    damaged = bytearray(container(objects(0, 5)))
    damaged[8:12] = bytes(4)
    frames, flaws = read(bytes(damaged), container(objects(5, 10)))
    assert frames == list(range(5, 10))
    assert flaws == ["a damaged object"]


def test_container_whose_size_reaches_over_the_next() -> None:
    damaged = bytearray(container(objects(0, 5)))
    damaged[8:12] = (len(damaged) + 60).to_bytes(4, "little")
    frames, flaws = read(bytes(damaged), container(objects(5, 10)), container(objects(10, 15)))
    assert frames[:5] == list(range(5))
    assert frames[-5:] == list(range(10, 15))
    assert flaws


def test_damaged_container_gives_its_beginning_and_the_next_one_all() -> None:
    def damage(data: bytes) -> bytes:
        return data[: len(data) // 2] + bytes(8) + data[len(data) // 2 + 8 :]

    chance = random.Random(1)
    data = b"".join(
        an_object(number)[:-8] + chance.randbytes(4) + number.to_bytes(4, "big") for number in range(200)
    )
    found = list(blf_entries([HEADER, container(data, change=damage), container(objects(500, 510))]))
    frames = [entry.data for entry in found if isinstance(entry, LogFrame)]
    assert frames[-10:] == [number.to_bytes(8, "big") for number in range(500, 510)]
    assert len(frames) > 60
    assert any(isinstance(entry, Flaw) and entry.fact == "a damaged container" for entry in found)


def test_unknown_compression_and_unknown_objects() -> None:
    unknown = an_object(7, kind=65)
    frames, flaws = read(container(objects(0, 5), method=9), container(unknown + objects(5, 10)))
    assert (frames, flaws) == (list(range(5, 10)), ["a container that is compressed in an unknown way (9)"])


def test_file_that_ends_in_its_header() -> None:
    found = list(blf_entries([HEADER[:20]]))
    assert found == [Flaw(20, "the file is cut here")]


def test_much_noise_costs_little() -> None:
    noise = random.Random(1).randbytes(1 << 20).replace(b"LOBJ", b"....") + b"LOBJ" * 20_000
    begin_s = process_time()
    frames, flaws = read(
        *[noise[at : at + 65536] for at in range(0, len(noise), 65536)], container(objects(0, 3))
    )
    assert process_time() - begin_s < busy_limit_s(5)
    assert frames == [0, 1, 2]
    assert len(flaws) <= 2
