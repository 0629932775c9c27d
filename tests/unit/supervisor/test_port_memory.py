from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.supervisor.port_memory import PortMemory
from tests.support.harness import poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write(memory: PortMemory, bus: str, port: int) -> None:
    """Store the port of a bus in the file."""
    memory.remember(bus, port)
    asyncio.run(memory.written(10))


def test_ports_are_kept_across_restarts(tmp_path: Path) -> None:
    memory = PortMemory(str(tmp_path / "lib" / "state"))
    assert memory.get("body") is None
    write(memory, "body", 42420)
    write(memory, "bench", 42421)
    again = PortMemory(str(tmp_path / "lib" / "state"))
    assert (again.get("body"), again.get("bench")) == (42420, 42421)
    assert again.others("body") == {42421}
    assert [file.name for file in (tmp_path / "lib" / "state").iterdir()] == ["ports.toml"]


def test_a_power_cut_takes_neither_the_content_nor_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def sync(descriptor: int) -> None:
        ports = tmp_path / "ports.toml"
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), ports.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    write(PortMemory(str(tmp_path)), "body", 42420)
    assert synced == [(False, False), (True, True)], "first the new file, then the folder with its name"


@pytest.mark.parametrize(
    "data",
    [
        b"[[[",
        b"ports = 3",
        b"\xff",
        b"[ports]\nbody = " + b"9" * 4301,
        b"[ports]\nbody = " + b"[" * 5000,
        b"[" + b"a." * 20_000 + b"a]",
        b"#\n" * (1 << 18),
        b"[ports]\nbody = 2026-99-99",
    ],
    ids=["no TOML", "no table", "no text", "digits", "brackets", "dots", "size", "date"],
)
def test_a_file_that_cannot_be_read_is_set_aside_and_reported_once(
    tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "ports.toml"
    file.write_bytes(data)
    memory = PortMemory(str(tmp_path))
    assert memory.get("body") is None
    assert (tmp_path / "ports.toml.bad").read_bytes() == data
    (record,) = caplog.records
    assert f"{file}.bad" in record.getMessage()
    write(memory, "body", 42420)
    assert PortMemory(str(tmp_path)).get("body") == 42420
    assert len(caplog.records) == 1


def test_no_part_of_a_torn_file_is_taken_for_another_port(tmp_path: Path) -> None:
    whole = b"[ports]\na = 42420\nb = 42421\n"
    for size in range(len(whole)):
        (tmp_path / "ports.toml").write_bytes(whole[:size])
        memory = PortMemory(str(tmp_path))
        assert memory.get("a") == (42420 if size >= len(b"[ports]\na = 42420\n") else None)
        assert memory.get("b") is None


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_set_aside(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "ports.toml"
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "device":
            file.symlink_to("/dev/zero")
    memory = PortMemory(str(tmp_path))
    write(memory, "body", 42420)
    assert file.is_file()
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "wrong", ["0", "-1", "65536", "70000", "true", '"42422"', "42420.0", "[42422]", "42420"]
)
def test_the_valid_ports_of_a_file_that_is_partly_wrong_are_kept(
    tmp_path: Path, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "ports.toml"
    file.write_text(f"[ports]\na = 42420\nb = {wrong}\nc = 42421\n")
    memory = PortMemory(str(tmp_path))
    assert [memory.get(name) for name in "abc"] == [42420, None, 42421]
    asyncio.run(memory.written(10))
    assert f"b = {wrong}" in (tmp_path / "ports.toml.bad").read_text()
    again = PortMemory(str(tmp_path))
    assert [again.get(name) for name in "abc"] == [42420, None, 42421]
    assert len(caplog.records) == 1


def test_a_file_that_cannot_be_renamed_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ports.toml").write_text("[[[")
    (tmp_path / "ports.toml.bad").mkdir()
    PortMemory(str(tmp_path))
    assert "it cannot be renamed" in caplog.text


def test_no_file_and_an_empty_file_are_no_mistakes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    PortMemory(str(tmp_path))
    (tmp_path / "ports.toml").write_text("")
    PortMemory(str(tmp_path))
    assert not caplog.records


def test_a_file_that_cannot_be_written_gives_one_warning_and_the_ports_are_kept_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    memory = PortMemory(str(tmp_path / "file"))
    write(memory, "body", 1)
    write(memory, "bench", 2)
    (record,) = caplog.records
    assert "automatic ports are not kept across restarts" in record.getMessage()
    assert (memory.get("body"), memory.get("bench")) == (1, 2)
    (tmp_path / "file").unlink()
    write(memory, "lab", 3)
    assert PortMemory(str(tmp_path / "file")).others("") == {1, 2, 3}


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The file system answers when the event is set."""
    answers = threading.Event()

    def waiting(name: str) -> None:
        original = getattr(os, name)

        def call(*arguments: object) -> object:
            answers.wait()
            return original(*arguments)

        monkeypatch.setattr(os, name, call)

    waiting("open")
    waiting("replace")
    yield answers
    answers.set()


def test_a_file_system_that_does_not_answer_costs_the_kept_ports_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dead: threading.Event
) -> None:
    kept = b"[ports]\nbody = 42425\n"
    (tmp_path / "ports.toml").write_bytes(kept)
    memory = PortMemory(str(tmp_path), answer_within_s=0.01)
    (record,) = caplog.records
    assert "the file system does not answer: buses without port get new ports" in record.getMessage()
    write(memory, "body", 42420)
    assert memory.get("body") == 42420
    dead.set()
    memory.check(time.monotonic() + 60)
    asyncio.run(memory.written(10))
    assert (tmp_path / "ports.toml").read_bytes() == kept, "ports that are not known are not replaced"


def test_a_write_without_an_answer_holds_nothing_up_is_reported_once_and_made_up_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dead: threading.Event
) -> None:
    dead.set()
    memory = PortMemory(str(tmp_path))
    dead.clear()
    memory.remember("a", 42420)
    memory.remember("b", 42421)
    under_way = memory._write
    assert under_way
    poll(lambda: under_way._thread is not None, what="the thread waits")
    now_s = time.monotonic()
    memory.check(now_s)
    assert not caplog.records
    for later_s in (10, 11, 12):
        memory.check(now_s + later_s)
    (record,) = caplog.records
    assert "ports.toml: the file system does not answer: automatic ports are not kept" in record.getMessage()
    asyncio.run(memory.written(0.01))
    dead.set()
    asyncio.run(memory.written(10))
    assert PortMemory(str(tmp_path)).others("") == {42420, 42421}
    assert len(caplog.records) == 1


def test_without_a_folder_ports_are_kept_in_memory() -> None:
    memory = PortMemory(None)
    write(memory, "body", 42420)
    assert (memory.get("body"), memory.others("bench")) == (42420, {42420})


def test_a_file_with_thousands_of_ports_is_read_in_proportion_to_its_length(tmp_path: Path) -> None:
    ports = "".join(f"b{port} = {port}\n" for port in range(1, 18_000))
    (tmp_path / "ports.toml").write_text(f"[ports]\n{ports}")
    begin_s = time.process_time()
    assert PortMemory(str(tmp_path)).get("b17999") == 17_999
    assert time.process_time() - begin_s < 2
