"""Hostile text of a driver, an adapter and a file: on its way through real processes it becomes printable and short."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import ROOT, Client, Daemon, poll
from tests.support.python_can_driver import driver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUS = '[bus.a]\ninterface = "own"\nchannel = "1"\n'
HOSTILE = r'"\x1b[2J\x9b31m\udc9b\u202e\x07\r\n" + "x" * 200_000'
PRINTING = f"""os.write(2, b"\\x1b[2Jlibrary\\n")
        import sys
        print({HOSTILE}, file=sys.stderr)
        raise OSError(7, {HOSTILE})"""
FLOODING = """import sys, threading
        def flood():
            while True:
                print("driver", file=sys.stderr)
        threading.Thread(target=flood, daemon=True).start()
        for _ in range(2000):
            print("driver" * 20)"""


@pytest.fixture(autouse=True)
def clients() -> Iterator[None]:
    yield
    Client.close_all()


def assert_harmless(text: str) -> None:
    assert all(line.isprintable() for line in text.split("\n"))


def test_text_of_a_driver(tmp_path: Path) -> None:
    with driver(tmp_path, PRINTING.replace('os.write(2, b"\\x1b[2Jlibrary\\n")', "pass")):
        with Daemon(tmp_path, BUS) as daemon:
            poll(lambda: daemon.bus("a")["last_error"], what="the driver's error")
            for command in ("status", "events"):
                assert_harmless(daemon.ctl(command).stdout)
            bus = daemon.bus("a")
            assert "?[2J?31m" in bus["last_error"]
            assert bus["last_error"].isprintable()
            assert len(bus["last_error"]) < 1000
            answer = daemon.ctl("start", "a")
            assert_harmless(answer.stdout + answer.stderr)
            poll(lambda: daemon.bus("a")["restarts"] > 1, what="another attempt")
        assert_harmless(daemon.log.read_text())
        assert len(daemon.log.read_text()) < 100_000


def test_a_driver_that_prints_more_than_is_read_delivers_all_the_same(tmp_path: Path) -> None:
    with driver(tmp_path, FLOODING):
        daemon = Daemon(tmp_path, BUS)
        errors, theirs = os.pipe()
        daemon.process = subprocess.Popen(
            [sys.executable, "-m", "cancorderd.cli.cancorderd", "-c", str(daemon.file)],
            stdout=theirs, stderr=theirs, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        try:
            poll(lambda: daemon.ctl("status").returncode in (0, 3), what="answer of the daemon")
            viewer = Client(daemon.wait_port("a"))
            viewer.wait_frames(50)
            assert daemon.bus("a")["restarts"] == 0
        finally:
            daemon.__exit__()
            os.close(errors)


def test_keys_of_a_megabyte(tmp_path: Path) -> None:
    with Daemon(tmp_path, '[bus.a]\ninterface = "mock"\n') as daemon:
        key = r'"\u001b[2J' + "x" * (1 << 20) + '"'
        daemon.write(f'[bus.a]\ninterface = "mock"\n{key} = 1\n[{key}]\n')
        answer = daemon.ctl("reload")
        assert answer.returncode == 1
        checked = daemon.ctl("check", str(daemon.file))
        for text in (
            answer.stderr,
            checked.stderr,
            json.loads(daemon.ctl("reload", "--json").stdout)["problems"][0],
        ):
            assert_harmless(text)
            assert len(text) < 5000
        assert daemon.bus("a")["state"] in ("running", "starting")
    assert_harmless(daemon.log.read_text())
    assert len(daemon.log.read_text()) < 20_000


def test_output_without_utf_8_ends_nothing(tmp_path: Path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    channel = 'bus.a]\ninterface = "socketcan"\nchannel = "büs车"'
    with Daemon(tmp_path, f"[{channel}\n") as daemon:
        for command in (["status"], ["events"], ["clients"], ["restart", "a"], ["check", str(daemon.file)]):
            done = subprocess.run(
                [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(daemon.socket), *command],
                env={**os.environ, **ascii_only}, cwd=ROOT, capture_output=True, timeout=60, check=False,
            )  # fmt: skip
            assert b"Traceback" not in done.stderr
            assert done.returncode in (0, 1, 3)
