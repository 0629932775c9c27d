"""Every command of `cancorderctl` on a terminal."""

from __future__ import annotations

import re
import signal
import termios
from typing import TYPE_CHECKING

import pexpect
import pytest

from tests.support.harness import Client, Daemon, free_port, poll
from tests.support.terminal import command_line, end_of, plain, run, spawn

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
    """Return the buses with a port of their own: another daemon may take one of the usual ports."""
    return BUSES.format(port=free_port())


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon"), buses()) as daemon:
        daemon.wait_state("fast", "running")
        daemon.wait_state("gone", "waiting")
        yield daemon
    Client.close_all()


def test_status_is_coloured(daemon: Daemon) -> None:
    text, status = run(command_line(daemon, "status"), size=(140, 30))
    assert status == 3, "a bus is waiting, so not all run"
    assert "\x1b[32mrunning\x1b[0m" in text
    assert "\x1b[33mwaiting\x1b[0m" in text
    assert re.search(r"^fast +running +mock +mock +\d+ +\d+ +\d+%", plain(text), re.MULTILINE)


def test_status_has_no_colours_if_no_color_is_set_or_the_terminal_is_dumb(daemon: Daemon) -> None:
    text, _ = run(command_line(daemon, "status"), NO_COLOR="1")
    assert not re.search(r"\x1b\[(\d+;)*[34]\d", text)
    text, _ = run(command_line(daemon, "status"), TERM="dumb")
    assert "\x1b" not in text


def test_status_in_a_narrow_window(daemon: Daemon) -> None:
    text, _ = run(command_line(daemon, "status"), size=(50, 30))
    assert "A wider window also shows RESTARTS" in plain(text)
    assert re.search(r"^gone: /dev/no-such-port does not exist", plain(text), re.MULTILINE)


def test_watch_continues_while_the_daemon_restarts(tmp_path: Path) -> None:
    with Daemon(tmp_path, buses()) as own:
        watch = spawn(command_line(own, "status", "--watch", "--interval", "0.2"), size=(140, 30))
        watch.expect_exact(IN)
        watch.expect(r"fast.*running.*█")
        own.stop()
        watch.expect("cancorderd is not running; waiting; the answer below is ")
        own.start()
        watch.expect(r"frames/s, 0 clients, 0 lost; q quits[^;]*BUS")
        watch.expect("running")
        watch.send("q")
        text, status = end_of(watch)
    assert OUT in text
    assert "\x1b[?25h" in text, "the cursor is hidden"
    assert status == 0


def test_watch_waits_for_the_daemon(tmp_path: Path) -> None:
    late = Daemon(tmp_path, buses())
    watch = spawn(command_line(late, "status", "--watch", "--interval", "0.2"))
    watch.expect("cancorderd is not running; waiting")
    with late:
        watch.expect("fast.*running")
        watch.sendintr()
        assert end_of(watch)[1] == 0, "Ctrl+C does not end it"


def test_a_bus_is_restarted_from_the_page_after_a_question(daemon: Daemon) -> None:
    watch = spawn(command_line(daemon, "status", "--watch", "--interval", "600"), size=(140, 30))
    watch.expect("RESTARTS")
    watch.send("?")
    watch.expect("restart the selected bus, after a question")
    watch.send("?")
    watch.expect("RESTARTS")
    before = daemon.bus("fast")["pid"]
    watch.send("jr")
    watch.expect_exact("Restart fast? y restarts it")
    watch.send("n")
    watch.send("r")
    watch.expect_exact("Restart fast? y restarts it")
    assert daemon.bus("fast")["pid"] == before, "restarted without a confirmation"
    watch.send("y")
    watch.expect_exact("Restarted fast: running")
    assert daemon.bus("fast")["pid"] != before
    watch.send("q")
    assert end_of(watch)[1] == 0


def test_watch_adapts_to_the_size_of_the_window(daemon: Daemon) -> None:
    watch = spawn(command_line(daemon, "status", "--watch", "--interval", "600"), size=(140, 30))
    watch.expect("RESTARTS")
    watch.setwinsize(30, 50)
    watch.expect("A wider window also shows")
    watch.setwinsize(6, 140)
    watch.expect("fast")  # a low window has room for buses alone
    watch.send("Q")
    assert end_of(watch)[1] == 0


@pytest.mark.parametrize(("way", "status"), [("q", 0), ("ctrl-c", 0), ("terminated", 143)])
def test_watch_restores_the_terminal(daemon: Daemon, way: str, status: int) -> None:
    watch = spawn(command_line(daemon, "status", "--watch"))
    before = termios.tcgetattr(watch.child_fd)
    watch.expect_exact(IN)
    watch.expect("fast")
    assert termios.tcgetattr(watch.child_fd) != before, "keys are not delivered at once"
    if way == "q":
        watch.send("xyzq")
    elif way == "ctrl-c":
        watch.sendintr()
    else:
        watch.kill(signal.SIGTERM)
    watch.expect_exact(OUT)
    watch.expect(pexpect.EOF)
    assert termios.tcgetattr(watch.child_fd) == before
    watch.close()
    assert watch.exitstatus == status


def test_watch_reports_an_unknown_bus_on_the_plain_screen(daemon: Daemon) -> None:
    text, status = run(command_line(daemon, "status", "--watch", "fats"))
    assert (text, status) == (
        "cancorderctl: there is no bus fats. Did you mean fast? Buses: fast, gone, off.\n",
        1,
    )


def test_watch_prints_tables_on_a_dumb_terminal(daemon: Daemon) -> None:
    watch = spawn(command_line(daemon, "status", "--watch", "--interval", "0.1"), TERM="dumb")
    for _ in range(3):
        watch.expect("BUS +STATE")
    watch.sendintr()
    text, status = end_of(watch)
    assert "\x1b" not in text
    assert status == 0


def test_clients_lists_a_client(daemon: Daemon) -> None:
    text, _ = run(command_line(daemon, "clients"))
    assert text == "No clients.\n"
    with Client(daemon.bus("fast")["port"]) as viewer:
        viewer.wait_frames(1)
        address = f"127.0.0.1:{viewer.socket.getsockname()[1]}"
        poll(lambda: address in run(command_line(daemon, "clients"))[0], what="the client is listed")


def test_events_follow_until_ctrl_c(daemon: Daemon) -> None:
    follower = spawn(command_line(daemon, "events", "--follow"))
    follower.expect("\x1b\\[33m[^\n]*warning[^\n]*no-such-port|gone: ")
    assert daemon.ctl("restart", "fast").returncode == 0
    follower.expect("fast: .*running")
    follower.sendintr()
    assert end_of(follower)[1] == 0


def test_start_stop_restart_and_reload(daemon: Daemon) -> None:
    assert run(command_line(daemon, "stop", "fast")) == ("fast: stopped\n", 0)
    assert run(command_line(daemon, "start", "fast")) == ("fast: running\n", 0)
    assert run(command_line(daemon, "restart", "fast")) == ("fast: running\n", 0)
    text, status = run(command_line(daemon, "reload"))
    assert (text.splitlines()[0], status) == ("fast: unchanged", 0)
    assert run(command_line(daemon, "check", str(daemon.file))) == (
        f"{daemon.file}: 3 buses: no mistakes.\n",
        0,
    )


def test_dump_until_ctrl_c(daemon: Daemon) -> None:
    dump = spawn(command_line(daemon, "dump", "fast"))
    for _ in range(3):
        dump.expect(r"  fast  100   \[8\]  00 00 00 00 ")
    dump.sendintr()
    assert end_of(dump)[1] == 0


def test_help_and_wrong_usage(daemon: Daemon) -> None:
    text, status = run(command_line(daemon, "help", "dump"))
    assert status == 0
    assert "cancorderctl dump body --decode car.dbc" in text
    assert run(command_line(daemon, "dump"))[1] == 2


def test_detect(daemon: Daemon, tmp_path: Path) -> None:
    text, status = run(
        command_line(daemon, "detect", "--all", "--config", str(tmp_path / "none")), size=(200, 30)
    )
    assert status == 0
    assert re.search(r"^BUS +INTERFACE +CHANNEL +STATE +ADAPTER$", text, re.MULTILINE)
