"""Bad input: a clear message, and no harm to anything that works."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import ROOT, Client, Daemon, free_port, poll

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOCK = '[bus.mock]\ninterface = "mock"\nspeed = 20\nstart = "always"\n'


def cancorderd(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cancorderd.cli.cancorderd", *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=30, check=False,
    )  # fmt: skip


def test_missing_file() -> None:
    done = cancorderd("-c", "/nowhere/cancorder.toml")
    assert done.returncode == 1
    assert done.stderr.startswith("/nowhere/cancorder.toml: ")
    assert "cancorderd --demo" in done.stderr


@pytest.mark.parametrize("command", ["--check", "check"])
def test_every_mistake_is_reported_with_its_line(tmp_path: Path, command: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[bus.a]\ninterface = "mock"\nbitrat = 5\nspeed = "x"\n[bus.b]\ninterface = "slcn"\n')
    if command == "check":
        done = subprocess.run(
            [sys.executable, "-m", "cancorderd.cli.cancorderctl", "check", str(file)],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
    else:
        done = cancorderd("-c", str(file), "--check")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{file}:{line}" for line in (3, 4, 6)]
    assert "Did you mean bitrate?" in lines[0]


def test_file_without_mistakes() -> None:
    done = cancorderd("-c", "etc/cancorder.toml", "--check")
    assert (done.returncode, done.stdout) == (0, "etc/cancorder.toml: 1 bus: no mistakes.\n")


def test_invalid_toml_is_reported_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[bus.a]\ninterface = mock\n")
    done = cancorderd("-c", str(file))
    assert done.returncode == 1
    assert done.stderr.startswith(f"{file}:2: ")


def test_second_daemon_with_the_same_socket_is_refused(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    running.wait_state("mock", "running")
    done = cancorderd("-c", str(running.file))
    assert done.returncode == 1
    assert "another cancorderd has this control socket" in done.stderr
    assert running.bus("mock")["state"] == "running"


def test_control_socket_in_an_impossible_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    file = tmp_path / "c.toml"
    file.write_text(f'[daemon]\ncontrol_socket = "{tmp_path}/file/control.sock"\n{MOCK}')
    done = cancorderd("-c", str(file))
    assert done.returncode == 1
    assert f"{tmp_path}/file/control.sock: " in done.stderr
    assert "Set daemon.control_socket" in done.stderr
    assert "Traceback" not in done.stderr


def test_taken_port_is_reported_with_its_owner_and_tried_again(daemon: Callable[[str], Daemon]) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        running = daemon(MOCK + f"port = {port}\n" + MOCK.replace("bus.mock", "bus.more"))
        failed = running.wait_state("mock", "failed")
        # This process, or a child that it has just forked and that still has its sockets.
        assert re.search(
            rf"port {port} is in use by \S+ \(process \d+\)\. End that program", failed["reason"]
        )
        assert running.ctl("status").returncode == 3
        running.wait_state("more", "running")
    assert running.wait_state("mock", "running")["port"] == port
    assert running.log.read_text().count("is in use by") < 10


def test_adapter_that_refuses_its_settings_fails_until_reload(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    running = daemon(f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path}/none"\nbitrate = 333333\n')
    failed = running.wait_state("a", "failed")
    assert "slcan has no bitrate 333333" in failed["reason"]
    with Client(failed["port"]) as viewer:
        running.write(f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path}/none"\n')
        assert "a: restarted (bitrate)" in running.ctl("reload").stdout
        running.wait_state("a", "waiting")
        poll(lambda: len(running.bus("a")["clients"]) == 1, what="the client that connected meanwhile")
        assert not viewer.ended


def test_interface_whose_driver_is_missing(daemon: Callable[[str], Daemon]) -> None:
    running = daemon('[bus.a]\ninterface = "pcan"\nchannel = "PCAN_USBBUS1"\n')
    assert "Install its driver" in running.wait_state("a", "failed")["reason"]


def test_socketcan_without_the_interface_or_without_support(daemon: Callable[[str], Daemon]) -> None:
    running = daemon('[bus.a]\ninterface = "socketcan"\nchannel = "nocan7"\n')
    bus = running.wait_state("a", "waiting", "failed")
    assert "there is no interface nocan7" in bus["reason"] or "no SocketCAN" in bus["reason"]


def test_clients_that_are_not_allowed_or_too_many_are_refused(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK + 'allow = ["127.0.0.0/8"]\nmax_clients = 2\n')
    port = running.wait_port("mock")
    for _ in range(2):
        Client(port).wait_frames(1)
    third = Client(port)
    poll(lambda: third.ended, what="the third is refused")
    stranger = Client(port, host="::1")
    poll(lambda: stranger.ended, what="a client that is not allowed is refused")
    for reason in ("max_clients is 2", "its address is not in allow"):
        poll(lambda reason=reason: reason in running.log.read_text(), what=reason)  # type: ignore[misc]


def test_silence_restarts_the_worker(daemon: Callable[[str], Daemon]) -> None:
    running = daemon('[bus.mock]\ninterface = "mock"\nsilence_timeout = 0.5\n')
    bus = poll(lambda: running.bus("mock") if running.bus("mock")["restarts"] else None)
    assert bus
    assert bus["last_error"] == "no frame for 0.5 s (silence_timeout)."


def test_slow_client_is_disconnected_if_configured(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    log = tmp_path / "burst.log"
    log.write_text("".join(f"(1.{number:06}) can0 123#{number:016X}\n" for number in range(50_000)))
    running = daemon(
        f'[bus.a]\ninterface = "replay"\nfile = "{log}"\nloop = true\nspeed = 10\n'
        'slow_client = "disconnect"\nclient_backlog = 65536\n'
    )
    stalled = Client(running.wait_port("a"), reads=False)
    poll(lambda: "reads too slowly (slow_client = disconnect)" in running.log.read_text(), 60, "disconnected")
    stalled.start_reading()
    poll(lambda: stalled.ended, what="the end of its stream")


AS_NOBODY = """
import os, sys
from cancorderd.cli.cancorderctl import main
import http.client, json, cancorderd.control.client
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_permissions_of_the_control_socket(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    running.wait_state("mock", "running")

    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", AS_NOBODY, "--socket", str(running.socket), *arguments],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip

    # Users outside the group cannot even connect.
    assert running.socket.stat().st_mode & 0o007 == 0
    for folder in (running.folder, *running.folder.parents):
        with contextlib.suppress(OSError):
            folder.chmod(folder.stat().st_mode | 0o711)
    refused = as_nobody("status")
    assert refused.returncode == 4
    assert "become a member of the group cancorder" in refused.stderr
    # Users who may read may not make changes.
    running.socket.chmod(0o666)
    assert as_nobody("status").returncode == 0
    assert as_nobody("reload", "--dry-run").returncode == 0
    for command in (["restart", "mock"], ["stop", "mock"], ["reload"]):
        refused = as_nobody(*command)
        assert refused.returncode == 4, command
        assert "only root and the daemon's own user may change buses" in refused.stderr
    assert running.bus("mock")["restarts"] == 0
