"""A real daemon and real clients for end-to-end and lab tests, and waiting with a deadline."""

from __future__ import annotations

import contextlib
import itertools
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

from cancorderd.control.client import ControlClient, ControlError
from cancorderd.protocol.packets import PacketDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.protocol.frame import Frame

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = float(os.environ.get("CANCORDER_TEST_PATIENCE", "60"))
"""Seconds that a test waits for an event that is due at once: long, since only a failing test waits so long."""


T = TypeVar("T")


def poll(condition: Callable[[], T], deadline_s: float = PATIENCE_S, what: str = "") -> T:
    """Call `condition` until it returns a true value, and return that.

    Raises AssertionError if `deadline_s` has passed; `what` describes the condition in it.
    """
    end = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what or condition}")
        time.sleep(0.02)


def busy_limit_s(idle_s: float) -> float:
    """Return the limit of elapsed time for the present load of this machine; `idle_s` is the limit if it is idle.

    On a busy machine, a process gets a share of a processor, and takes longer in proportion. The limit is several
    seconds even if the machine is idle: a load that has just begun is in no average yet.
    """
    return idle_s * (1 + max(os.getloadavg()[0], _runnable()) / (os.cpu_count() or 1))


def _runnable() -> int:
    """Return how many threads of this machine want a processor at this moment, apart from the caller's."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]) - 1
    except OSError:  # not Linux
        return 0


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
        """Command that executes the daemon at its end, such as unshare."""
        self.write(buses)

    def write(self, buses: str) -> None:
        """Write the configuration: `buses` below the [daemon] and [defaults] of the harness."""
        self.file.write_text(self._head + buses)

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "cancorderd.cli.cancorderd", "-c", str(self.file)],
                stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
            )  # fmt: skip
        try:
            poll(self.answers, what="answer of the daemon")
        except BaseException:
            self.kill()
            raise
        return self

    def answers(self) -> bool:
        """Return whether the control socket answers; a socket that exists may not be listened on yet."""
        assert self.process is not None
        assert self.process.poll() is None, f"the daemon has ended:\n{self.log.read_text()}"
        try:
            self.status()
        except ControlError:
            return False
        return True

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(self.socket), *arguments],
            capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        """Return the answer of the control API; a process for each look would take longer."""
        return dict(ControlClient(str(self.socket)).status())

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
        """Wait until the worker of a bus is up; return the port."""
        return int(self.wait_state(name, "running", "waiting")["port"])

    def wait_log(self, text: str) -> None:
        """Wait for `text` in the log, which a thread of its own writes: after the change of state that it is about."""
        poll(lambda: text in self.log.read_text(errors="replace"), what=f"{text!r} in the log")

    def workers(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children()

    def stop(self) -> int:
        """Send SIGTERM, wait, and return the exit status."""
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
    """A viewer that decodes everything it receives, in a thread of its own."""

    opened: ClassVar[list[Client]] = []
    """Clients for `close_all` to close at the end of a test."""

    def __init__(self, port: int, *, reads: bool = True, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), PATIENCE_S)
        self.socket.settimeout(None)
        self.frames: list[Frame] = []
        self.arrivals_s: list[float] = []
        """Arrival of each frame, in seconds since the epoch."""
        self.ended = False
        """True when the connection has ended."""
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
        """Wait until at least `count` frames have arrived; return all frames."""
        poll(lambda: len(self.frames) >= count, deadline_s, f"{count} frames")
        return list(self.frames)

    def wait_more(self, deadline_s: float = PATIENCE_S) -> None:
        """Wait for a frame after those that have arrived so far."""
        before = len(self.frames)
        poll(lambda: len(self.frames) > before, deadline_s, "more frames")

    def first_arrival_after(self, moment_s: float) -> float | None:
        """Return the time of the first arrival after `moment_s`, or None; both in seconds since the epoch."""
        return next((arrival_s for arrival_s in list(self.arrivals_s) if arrival_s > moment_s), None)

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


_PORTS = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """Return a port that no other process takes before the caller does.

    It is below those that systems choose by themselves (from 32768 on) and those of buses without `port` (from 42420
    on), and processes that run beside each other begin at different places.
    """
    while True:
        port = 10_000 + next(_PORTS) % 22_000
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("0.0.0.0", port))
            return port


def alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_end(pid: int) -> None:
    """Wait until a process has ended; it may be a zombie then."""
    poll(lambda: not alive(pid), what=f"the end of process {pid}")
