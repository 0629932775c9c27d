"""Upgrades from the package of commit 7c6599d, the first with a version, as an administrator meets them.

tests/lab/run builds that package, with the commit's own scripts, if the clone has the commit.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cancorderd import __version__
from tests.lab.guest.package import (
    CONFIGURATION,
    install,
    journal,
    purge,
    run,
    running,
    status,
    wait_until_nothing_runs,
)
from tests.support.harness import PATIENCE_S, Client, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD = Path("/out/cancorderd_0.1.0_amd64.deb")
STATE = Path("/var/lib/cancorder")
BUSES = """
[bus.stand]
interface = "mock"
start = "always"
record = { enabled = true }
"""
DROP_IN = """
[bus.rack]
interface = "mock"
start = "always"
"""
FORWARD = """
[forward]
url = ["nats://127.0.0.1:9"]
gateway = "lab"
"""

pytestmark = pytest.mark.skipif(
    not OLD.exists(), reason="the package of commit 7c6599d is missing: this clone does not have the commit"
)


class Viewer:
    """A viewer that connects again whenever it is disconnected, as CANcorder does; it counts its connections."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self.refusals: list[OSError] = []
        self._port = port
        self._ended = threading.Event()
        self._received = threading.Condition()
        self._bytes = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                connection = socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)
            except OSError as error:
                self.refusals.append(error)
                self._ended.wait(0.2)
                continue
            self.connections += 1
            with connection:
                self._read(connection)

    def _read(self, connection: socket.socket) -> None:
        connection.settimeout(0.5)
        while not self._ended.is_set():
            try:
                data = connection.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                return
            if not data:
                return
            with self._received:
                self._bytes += len(data)
                self._received.notify_all()

    def wait_more(self) -> None:
        with self._received:
            before = self._bytes
            assert self._received.wait_for(lambda: self._bytes > before, PATIENCE_S), "no more frames"

    def end(self) -> None:
        self._ended.set()
        self._thread.join(PATIENCE_S)


@pytest.fixture(autouse=True)
def _purged_afterwards() -> Iterator[None]:
    yield
    Client.close_all()
    run("dpkg", "--purge", "cancorderd", check=False)


@pytest.fixture
def viewers() -> Iterator[list[Viewer]]:
    """Viewers of both buses of the old version, which has its frames recorded."""
    run("dpkg", "-i", str(OLD))
    poll(running, what="the old version runs")
    CONFIGURATION.write_text(CONFIGURATION.read_text() + BUSES)
    Path("/etc/cancorder.d/rack.toml").write_text(DROP_IN)
    run("cancorderctl", "reload")
    poll(lambda: {"simulation", "stand", "rack"} <= set(running()), what="all buses run")
    found = [Viewer(running()[name]) for name in ("stand", "rack")]
    for viewer in found:
        viewer.wait_more()
    yield found
    for viewer in found:
        viewer.end()


def recordings() -> dict[Path, bytes]:
    """Return the contents of all files that have any."""
    files = (path for path in (STATE / "recordings").rglob("*") if path.is_file())
    return {path: data for path in files if (data := path.read_bytes())}


def test_viewers_come_back_and_the_edited_file_ports_and_recordings_are_kept(viewers: list[Viewer]) -> None:
    before = poll(recordings, what="frames are recorded")
    ports = running()
    memory = (STATE / "ports.toml").read_text()
    # What only the new version knows; the old one is not told to read it.
    edited = CONFIGURATION.read_text() + FORWARD
    CONFIGURATION.write_text(edited)
    old_pid = status()["pid"]

    install(__version__)
    poll(lambda: running() == ports, what=f"all buses run on their ports{journal()}")
    assert status()["pid"] != old_pid
    for viewer in viewers:
        viewer.wait_more()
        assert viewer.connections == 2
        assert not viewer.refusals
    assert CONFIGURATION.read_text() == edited
    assert (STATE / "ports.toml").read_text() == memory
    assert status()["forward"]["gateway"] == "lab"
    poll(lambda: len(recordings()) > len(before), what="the new version records")
    after = recordings()
    assert all(after[path].startswith(data) for path, data in before.items())

    for viewer in viewers:
        viewer.end()
    run("dpkg", "--remove", "cancorderd")
    wait_until_nothing_runs()
    assert CONFIGURATION.read_text() == edited
    assert set(recordings()) >= set(before)
    purge()
    left = [path for path in (CONFIGURATION, CONFIGURATION.parent / "cancorder.d", STATE) if path.exists()]
    assert not left
    assert not list(CONFIGURATION.parent.glob("cancorder*"))


def test_with_a_broken_file_the_buses_go_on_and_the_upgrade_says_so(viewers: list[Viewer]) -> None:
    sound = CONFIGURATION.read_text()
    CONFIGURATION.write_text(sound.replace("[bus.stand]\n", "[bus.stand]\nbitrat = 1\n"))
    old_pid = status()["pid"]

    said = install(__version__)
    assert "cancorderd is not restarted" in said
    assert "bus.stand.bitrat" in said
    assert "systemctl restart cancorderd" in said
    assert run("systemctl", "is-active", "cancorderd").stdout.strip() == "active"
    assert status()["pid"] == old_pid
    for viewer in viewers:
        viewer.wait_more()
        assert viewer.connections == 1
    assert run("dpkg", "--audit").stdout == ""

    CONFIGURATION.write_text(sound)
    run("systemctl", "restart", "cancorderd")
    poll(lambda: {"stand", "rack"} <= set(running()), what="the buses run with the new version")
    assert status()["pid"] != old_pid
    for viewer in viewers:
        viewer.wait_more()
