"""Loads in real processes."""

from __future__ import annotations

import _thread
import asyncio
import errno
import os
import subprocess
import sys
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from cancorderd.config import load_process
from cancorderd.config.configuration import Configuration
from cancorderd.config.load_process import LoadProcess, load_in_process
from cancorderd.config.loading import load
from cancorderd.config.problem import ConfigurationError
from tests.support.harness import alive, poll

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let another program take the place of the loader."""

    def take(script: str) -> None:
        head = "import socket, sys, time\nchannel = socket.socket(fileno=int(sys.argv[3]))\n"
        monkeypatch.setattr(
            load_process,
            "python_command",
            lambda _module, *rest: [sys.executable, "-c", head + script, *rest],
        )

    return take


def test_the_configuration_is_that_of_load(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        f'include = ["{tmp_path}/*.d"]\n[web]\nport = 8123\nallow = ["10.0.0.0/8"]\n[forward]\nurl = ["tls://hub.example.net"]\n[daemon]\nbacklog_total = 2_000_000\n[defaults]\nfilters = [{{id = 1, mask = 7}}]\n'
        '[bus.a]\ninterface = "mock"\nspeed = 2\n[bus.a.record]\nkeep = 3\n'
        '[bus.b]\ninterface = "virtual"\noptions = {a = [1, 2.5], at = 2020-01-01}\n[bus.c]\ninterface = "auto"\n'
    )
    (tmp_path / "e.d").write_text('[bus.e]\ninterface = "slcan"\nchannel = "/dev/ttyX"\n')
    expected = load(file)
    assert [bus.name for bus in expected.buses] == ["a", "b", "c", "e"]
    for part in fields(Configuration):
        assert getattr(expected, part.name) != getattr(Configuration(), part.name), "each part is there"
    assert LoadProcess(str(file)).wait() == expected
    assert asyncio.run(load_in_process(str(file), in_force=expected)) == expected


def test_mistakes_are_those_of_load(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[bus.a]\nbitrate = -1\n[bus.b]\nbitrate = 'x'\n")
    with pytest.raises(ConfigurationError) as here:
        load(file)
    with pytest.raises(ConfigurationError) as there:
        LoadProcess(str(file)).wait()
    assert len(there.value.problems) > 2
    assert there.value.problems == here.value.problems
    file.write_text("")
    with pytest.raises(ConfigurationError, match="nothing but blanks"):
        asyncio.run(load_in_process(str(file), in_force=Configuration()))


def test_a_path_may_be_of_any_bytes(tmp_path: Path) -> None:
    file = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.toml")
    with open(file, "w") as opened:
        opened.write('[bus.a]\ninterface = "mock"\n')
    assert LoadProcess(file).wait().files == {file}


def test_a_path_may_be_that_of_a_descriptor(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[bus.a]\ninterface = "mock"\n')
    with file.open() as opened:
        os.set_inheritable(opened.fileno(), True)
        assert LoadProcess(f"/dev/fd/{opened.fileno()}").wait().buses


def test_a_process_that_does_not_answer_is_a_mistake_and_is_ended(other: Callable[[str], None]) -> None:
    other("time.sleep(1000)")
    loading = LoadProcess("/c.toml", within_s=0.5)
    poll(lambda: loading._process, what="the process")
    assert loading._process
    with pytest.raises(ConfigurationError, match=r"^/c\.toml: reading it .* longer than 0\.5 s\. Look for"):
        loading.wait()
    poll(lambda: loading._process and loading._process.returncode is not None, what="its end")


def test_a_load_that_is_cancelled_ends_its_process(other: Callable[[str], None]) -> None:
    other("time.sleep(1000)")

    async def cancel() -> LoadProcess:
        loading = LoadProcess("/c.toml")
        task = asyncio.create_task(loading.answer())
        await asyncio.to_thread(poll, lambda: loading._process, what="the process")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return loading

    loading = asyncio.run(cancel())
    assert loading._process
    poll(lambda: not alive(loading._process.pid), what="its end")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", r"^/c\.toml: process \d+, which reads it, has ended without an answer\. Look into the log"),
        ("channel.send(b'{\"bu')", "has ended without an answer"),
        ("channel.send(b'{}\\n')", "the version of cancorderd on disk is not the one that runs. Restart"),
        ('channel.send(b\'{"daemon": {"new": 1}}\\n\')', "is not the one that runs"),
        ("channel.send(b'x\\n')", "is not the one that runs"),
    ],
)
def test_an_answer_that_is_none_is_a_mistake(
    script: str, expected: str, other: Callable[[str], None]
) -> None:
    other(script)
    with pytest.raises(ConfigurationError, match=expected):
        LoadProcess("/c.toml").wait()


def test_processes_that_cannot_be_ended_are_limited(other: Callable[[str], None]) -> None:
    other("time.sleep(1000)")
    poll(lambda: all(end.done for end in load_process._ends), what="the ends of earlier processes")
    loads: list[LoadProcess] = []
    try:
        loads += (LoadProcess("/c.toml") for _ in range(load_process._MAX_PROCESSES))
        with pytest.raises(ConfigurationError, match="8 earlier attempts to read the configuration"):
            LoadProcess("/c.toml")
    finally:
        for begun in loads:
            begun.end()
    poll(lambda: all(end.done for end in load_process._ends), what="their ends")
    other("channel.send(b'{}\\n')")
    with pytest.raises(ConfigurationError, match="version"):
        LoadProcess("/c.toml").wait()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EAGAIN, r"^/c\.toml: it cannot be read: no further process is allowed\. Raise the limit"),
        (errno.ENOENT, "python.* cannot be started: No such file or directory"),
    ],
)
def test_a_process_that_cannot_start_is_a_mistake(
    number: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(ConfigurationError, match=expected):
        LoadProcess("/c.toml").wait()


def test_a_thread_that_is_not_allowed_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    with pytest.raises(ConfigurationError, match=r"no further thread is allowed\. Raise the limit"):
        LoadProcess("/c.toml")
