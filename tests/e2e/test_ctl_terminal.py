"""Every command of `cancorderctl` on a terminal."""

from __future__ import annotations

import re
import signal
import termios
from typing import TYPE_CHECKING

import pexpect
import pytest

from tests.e2e.terminal import command, ended, plain, shown, spawn
from tests.harness import Client, Daemon, free_port, poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSES = """
[bus.fast]
interface = "mock"
rate = 500
start = "always"
port = {port}
[bus.gone]
interface = "slcan"
channel = "/dev/no-such-port"
[bus.off]
interface = "mock"
enabled = false
"""
IN, OUT = "\x1b[?1049h", "\x1b[?1049l"
"""xterm's second screen."""


def buses() -> str:
    """With a port of their own: of the usual ones, another daemon may take one that is free for a moment."""
    return BUSES.format(port=free_port())


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon"), buses()) as daemon:
        daemon.wait_state("fast", "running")
        daemon.wait_state("gone", "waiting")
        yield daemon
    Client.close_all()


def test_status_has_colours(daemon: Daemon) -> None:
    text, status = shown(command(daemon, "status"), size=(140, 30))
    assert status == 3, "a bus is waiting"
    assert "\x1b[32mrunning\x1b[0m" in text
    assert "\x1b[33mwaiting\x1b[0m" in text
    assert re.search(r"^fast +running +mock +mock +\d+ +\d+ +\d+%", plain(text), re.MULTILINE)


def test_status_without_colours_where_they_are_not_wanted(daemon: Daemon) -> None:
    text, _ = shown(command(daemon, "status"), NO_COLOR="1")
    assert not re.search(r"\x1b\[(\d+;)*[34]\d", text)
    text, _ = shown(command(daemon, "status"), TERM="dumb")
    assert "\x1b" not in text


def test_status_in_a_narrow_window(daemon: Daemon) -> None:
    text, _ = shown(command(daemon, "status"), size=(50, 30))
    assert "A wider window also shows RESTARTS" in plain(text)
    assert re.search(r"^gone: /dev/no-such-port does not exist", plain(text), re.MULTILINE)


def test_watch_goes_on_while_the_daemon_restarts(tmp_path: Path) -> None:
    with Daemon(tmp_path, buses()) as own:
        watch = spawn(command(own, "status", "--watch", "--interval", "0.2"), size=(140, 30))
        watch.expect_exact(IN)
        watch.expect(r"fast.*running.*█")
        own.stop()
        watch.expect("cancorderd is not running; waiting; the answer below is ")
        own.start()
        watch.expect(r"frames/s, 0 clients, 0 lost; q ends[^;]*BUS")
        watch.expect("running")
        watch.send("q")
        text, status = ended(watch)
    assert OUT in text
    assert "\x1b[?25h" in text, "the cursor is back"
    assert status == 0


def test_watch_waits_for_a_daemon_that_is_not_there_yet(tmp_path: Path) -> None:
    late = Daemon(tmp_path, buses())
    watch = spawn(command(late, "status", "--watch", "--interval", "0.2"))
    watch.expect("cancorderd is not running; waiting")
    with late:
        watch.expect("fast.*running")
        watch.sendintr()
        assert ended(watch)[1] == 0, "Ctrl+C is a way to end it"


def test_watch_follows_the_windows_size(daemon: Daemon) -> None:
    watch = spawn(command(daemon, "status", "--watch", "--interval", "600"), size=(140, 30))
    watch.expect("RESTARTS")
    watch.setwinsize(30, 50)
    watch.expect("A wider window also shows")
    watch.setwinsize(6, 140)
    watch.expect("2 of 3 buses, a higher window shows more")
    watch.send("Q")
    assert ended(watch)[1] == 0


@pytest.mark.parametrize(("how", "status"), [("q", 0), ("ctrl-c", 0), ("terminated", 143)])
def test_watch_leaves_the_terminal_as_it_was(daemon: Daemon, how: str, status: int) -> None:
    watch = spawn(command(daemon, "status", "--watch"))
    before = termios.tcgetattr(watch.child_fd)
    watch.expect_exact(IN)
    watch.expect("fast")
    assert termios.tcgetattr(watch.child_fd) != before, "keys come at once"
    if how == "q":
        watch.send("xyzq")
    elif how == "ctrl-c":
        watch.sendintr()
    else:
        watch.kill(signal.SIGTERM)
    watch.expect_exact(OUT)
    watch.expect(pexpect.EOF)
    assert termios.tcgetattr(watch.child_fd) == before
    watch.close()
    assert watch.exitstatus == status


def test_watch_of_a_bus_that_is_not_there_says_so_on_the_plain_screen(daemon: Daemon) -> None:
    text, status = shown(command(daemon, "status", "--watch", "fats"))
    assert (text, status) == (
        "cancorderctl: there is no bus fats. Did you mean fast? Buses: fast, gone, off.\n",
        1,
    )


def test_watch_on_a_terminal_that_only_writes_lines(daemon: Daemon) -> None:
    watch = spawn(command(daemon, "status", "--watch", "--interval", "0.1"), TERM="dumb")
    for _ in range(3):
        watch.expect("BUS +STATE")
    watch.sendintr()
    text, status = ended(watch)
    assert "\x1b" not in text
    assert status == 0


def test_clients_shows_losses_in_red(daemon: Daemon) -> None:
    text, _ = shown(command(daemon, "clients"))
    assert text == "No clients.\n"
    with Client(daemon.bus("fast")["port"]) as viewer:
        viewer.wait_frames(1)
        address = f"127.0.0.1:{viewer.socket.getsockname()[1]}"
        poll(lambda: address in shown(command(daemon, "clients"))[0], what="the client is listed")


def test_events_follow_until_ctrl_c(daemon: Daemon) -> None:
    follower = spawn(command(daemon, "events", "--follow"))
    follower.expect("\x1b\\[33m[^\n]*warning[^\n]*no-such-port|gone: ")
    assert daemon.ctl("restart", "fast").returncode == 0
    follower.expect("fast: .*running")
    follower.sendintr()
    assert ended(follower)[1] == 0


def test_commands_that_change_things(daemon: Daemon) -> None:
    assert shown(command(daemon, "stop", "fast")) == ("fast: stopped\n", 0)
    assert shown(command(daemon, "start", "fast")) == ("fast: running\n", 0)
    assert shown(command(daemon, "restart", "fast")) == ("fast: running\n", 0)
    text, status = shown(command(daemon, "reload"))
    assert (text.splitlines()[0], status) == ("fast: unchanged", 0)
    assert shown(command(daemon, "check", str(daemon.file))) == (f"{daemon.file}: 3 buses: no mistakes.\n", 0)


def test_dump_until_ctrl_c(daemon: Daemon) -> None:
    dump = spawn(command(daemon, "dump", "fast"))
    for _ in range(3):
        dump.expect(r"  fast  100   \[8\]  00 00 00 00 ")
    dump.sendintr()
    assert ended(dump)[1] == 0


def test_help_and_wrong_usage(daemon: Daemon) -> None:
    text, status = shown(command(daemon, "help", "dump"))
    assert status == 0
    assert "cancorderctl dump body --decode car.dbc" in text
    assert shown(command(daemon, "dump"))[1] == 2


def test_detect(daemon: Daemon, tmp_path: Path) -> None:
    text, status = shown(
        command(daemon, "detect", "--all", "--config", str(tmp_path / "none")), size=(200, 30)
    )
    assert status == 0
    assert re.search(r"^BUS +INTERFACE +CHANNEL +STATE +ADAPTER$", text, re.MULTILINE)
