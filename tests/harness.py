"""What end-to-end and lab tests share: a real daemon, real clients, and waiting with a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import psutil

from cancorderd.wire import PacketDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.frame import Frame

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = float(os.environ.get("CANCORDER_TEST_PATIENCE", "20"))
"""Seconds that a test waits for what should be there at once; machines without KVM need more."""


T = TypeVar("T")


def poll(condition: Callable[[], T], deadline_s: float = PATIENCE_S, what: str = "") -> T:
    """Ask until the answer is true; AssertionError once `deadline_s` has passed."""
    end = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what or condition}")
        time.sleep(0.02)


class Daemon:
    """A real `cancorderd` with a file, a control socket and a state folder of its own in `folder`."""

    def __init__(self, folder: Path, buses: str, *, zeroconf: bool = False) -> None:
        self.folder = folder
        self.file = folder / "cancorder.toml"
        self.socket = folder / "control.sock"
        self._head = (
            f'[daemon]\ncontrol_socket = "{self.socket}"\nstate_dir = "{folder / "state"}"\n'
            f'log_level = "debug"\n[defaults]\nzeroconf = {str(zeroconf).lower()}\n'
        )
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []
        """A command that ends by executing the daemon, such as unshare."""
        self.write(buses)

    def write(self, buses: str) -> None:
        """Write the file: these tables below the test's own [daemon] and [defaults]."""
        self.file.write_text(self._head + buses)

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "cancorderd.cli.cancorderd", "-c", str(self.file)],
                stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
            )  # fmt: skip
        try:
            poll(lambda: self._answers(), what="the daemon answers")
        except BaseException:
            self.kill()
            raise
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"ended at once:\n{self.log.read_text()}"
        return self.ctl("status").returncode in (0, 3)

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(self.socket), *arguments],
            capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        answer = self.ctl("status", "--json")
        assert answer.stdout, answer.stderr
        status: dict[str, Any] = json.loads(answer.stdout)
        return status

    def bus(self, name: str) -> dict[str, Any]:
        return next(bus for bus in self.status()["buses"] if bus["name"] == name)

    def wait_state(self, name: str, *states: str, deadline_s: float = PATIENCE_S) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            bus = self.bus(name)
            return bus if bus["state"] in states else None

        try:
            found = poll(reached, deadline_s, f"{name} is {' or '.join(states)}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.bus(name)}\n{self.log.read_text()}") from None
        assert found
        return found

    def wait_port(self, name: str) -> int:
        """The port of a bus whose worker is up."""
        return int(self.wait_state(name, "running", "waiting")["port"])

    def workers(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children()

    def stop(self) -> int:
        """SIGTERM, and wait: its exit status."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        workers = [] if self.process.poll() is not None else self.workers()
        try:
            self.stop()
        finally:
            self.process.kill()
            for left in workers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()


class Client:
    """A viewer: connects, and decodes all that comes in a thread of its own."""

    opened: ClassVar[list[Client]] = []
    """What a test has to close at its end: `close_all`."""

    def __init__(self, port: int, *, reads: bool = True, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), PATIENCE_S)
        self.socket.settimeout(None)
        self.frames: list[Frame] = []
        self.arrivals_s: list[float] = []
        """When each frame was there, seconds since the epoch."""
        self.ended = False
        """True once the connection is over."""
        self.error: Exception | None = None
        self.decoder = PacketDecoder()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.opened.append(self)
        if reads:
            self.start_reading()

    def start_reading(self) -> None:
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := self.socket.recv(1 << 18):
                now_s = time.time()
                self.decoder.receive(data)
                found = list(self.decoder.frames())
                self.frames += found
                self.arrivals_s += [now_s] * len(found)
        except (OSError, ValueError) as error:
            self.error = error
        self.ended = True

    def wait_frames(self, count: int, deadline_s: float = PATIENCE_S) -> list[Frame]:
        """Wait until at least `count` frames are there."""
        poll(lambda: len(self.frames) >= count, deadline_s, f"{count} frames")
        return list(self.frames)

    def wait_more(self, deadline_s: float = PATIENCE_S) -> None:
        """Wait for frames beyond those that are there now."""
        before = len(self.frames)
        poll(lambda: len(self.frames) > before, deadline_s, "more frames")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)
        self.socket.close()

    @classmethod
    def close_all(cls) -> None:
        while cls.opened:
            cls.opened.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def alive(pid: int) -> bool:
    """True while a process exists and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
