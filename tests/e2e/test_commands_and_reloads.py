"""Commands and reloads on real processes, in any order: at the end, each bus is as the file and the commands say."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cancorderd.control.client import ControlClient, ControlError
from tests.support.harness import Client, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cancorderd.control.protocol import ReloadAnswer, Verb

STABLE_S = 30.0
"""A worker that ran for so long is replaced at once."""
STORM_S = 5.0


def mock(name: str, *keys: str) -> str:
    return "\n".join([f"[bus.{name}]", 'interface = "mock"', "speed = 20", 'start = "always"', *keys, ""])


def ports(first: int, count: int) -> list[int]:
    """Return ports above the automatic ones, that no other test here uses."""
    return list(range(43_000 + first, 43_000 + first + count))


def serves(port: int) -> None:
    with Client(port) as viewer:
        viewer.wait_frames(1)


def state(client: ControlClient, name: str) -> str:
    return next(bus["state"] for bus in client.status()["buses"] if bus["name"] == name)


def kinds(answer: ReloadAnswer) -> dict[str, str]:
    assert "changes" in answer, answer
    return {change["bus"]: change["kind"] for change in answer["changes"]}


def served(client: ControlClient) -> dict[str, int | None]:
    """Return the port of each bus that runs, after reading frames from each."""
    buses = {bus["name"]: bus["port"] for bus in client.status()["buses"] if bus["state"] == "running"}
    for port in buses.values():
        assert port
        serves(port)
    return buses


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, float]]:
    """A daemon that gets old during the other tests, and when its bus had begun to run (monotonic)."""
    with Daemon(tmp_path_factory.mktemp("aged"), mock("a") + mock("b")) as running:
        for name in "ab":
            running.wait_state(name, "running")
        yield running, time.monotonic()


def test_a_disabled_bus_that_was_started_goes_on_with_new_settings(aged: object, tmp_path: Path) -> None:
    first, second, third = ports(0, 3)
    with Daemon(tmp_path, mock("a", "enabled = false", f"port = {first}")) as running:
        client = ControlClient(str(running.socket))
        assert client.control("a", "start")["done"]
        serves(first)
        running.write(mock("a", "enabled = false", f"port = {second}"))
        assert client.reload()["done"]
        serves(second)
        running.write(mock("a", f"port = {third}"))
        assert kinds(client.reload()) == {"a": "enabled"}
        assert state(client, "a") == "running"
        serves(third)
        running.write(mock("a", "enabled = false", f"port = {third}"))
        assert client.reload()["done"]
        assert state(client, "a") == "disabled"


def test_a_stopped_bus_stays_stopped_until_the_file_changes_enabled_or_the_daemon_restarts(
    aged: object, tmp_path: Path
) -> None:
    with Daemon(tmp_path, mock("a")) as running:
        client = ControlClient(str(running.socket))
        assert client.control("a", "stop")["done"]
        running.write(mock("a", "watchdog = 20", "seed = 1"))
        assert kinds(client.reload()) == {"a": "restarted"}
        assert state(client, "a") == "stopped"
        running.write(mock("a", "enabled = false"))
        assert client.reload()["done"]
        assert state(client, "a") == "disabled"
        assert client.control("a", "stop")["done"]
        running.write(mock("a"))
        assert client.reload()["done"]
        assert state(client, "a") == "running"
        client.control("a", "stop")
        running.stop()
        running.start()
        poll(lambda: state(client, "a") == "running", what="the bus of the next daemon")


def test_a_stop_during_a_reload_of_the_bus_is_done_after_it(aged: object, tmp_path: Path) -> None:
    with Daemon(tmp_path, mock("a") + mock("b")) as running:
        client = ControlClient(str(running.socket))
        for name in "ab":
            assert client.control(name, "start")["done"]
        # The end of b's worker takes two seconds; the reload of a waits for it.
        os.kill(running.bus("b")["pid"], signal.SIGSTOP)
        running.write(mock("a", "seed = 1"))
        answers: list[object] = []
        reload = threading.Thread(target=lambda: answers.append(client.reload()))
        reload.start()
        poll(lambda: len(client.status()["buses"]) == 1, what="the reload has begun")
        answer = ControlClient(str(running.socket)).control("a", "stop")
        reload.join()
        assert answer == {"name": "a", "state": "stopped", "reason": "", "done": True}
        assert state(client, "a") == "stopped"
        assert len(answers) == 1


def test_two_buses_swap_ports_and_a_third_gives_its_automatic_port_away(aged: object, tmp_path: Path) -> None:
    first, second = ports(10, 2)
    with Daemon(
        tmp_path, mock("a", f"port = {first}") + mock("b", f"port = {second}") + mock("c")
    ) as running:
        client = ControlClient(str(running.socket))
        automatic = running.wait_state("c", "running")["port"]
        viewers = [Client(port) for port in (first, second)]
        for viewer in viewers:
            viewer.wait_frames(1)
        running.write(mock("a", f"port = {second}") + mock("b", f"port = {first}") + mock("c"))
        assert client.reload()["done"]
        assert served(client) == {"a": second, "b": first, "c": automatic}
        for viewer in viewers:
            viewer.wait_more()
        running.write(mock("a", f"port = {automatic}") + mock("b", f"port = {first}") + mock("c"))
        assert kinds(client.reload()) == {"a": "restarted", "b": "unchanged", "c": "restarted"}
        now = served(client)
        assert (now["a"], now["b"]) == (automatic, first)
        assert now["c"] not in (automatic, first)
        Client.close_all()


def test_a_bus_without_port_takes_no_port_that_the_file_gives_to_a_later_one(
    aged: object, tmp_path: Path
) -> None:
    port = next(port for port in range(42420, 42500) if _is_free(port))
    with Daemon(tmp_path, mock("automatic") + mock("fixed", f"port = {port}")) as running:
        assert running.wait_state("fixed", "running")["port"] == port
        assert running.wait_state("automatic", "running")["port"] != port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def test_exit_statuses_state_whether_the_bus_is_as_requested(aged: object, tmp_path: Path) -> None:
    taken, free = ports(20, 2)
    with Daemon(tmp_path, mock("a") + mock("off", "enabled = false")) as running, socket.socket() as other:
        other.bind(("0.0.0.0", taken))
        other.listen()
        assert running.ctl("stop", "off").returncode == 0
        restarted = running.ctl("restart", "off")
        assert restarted.returncode == 1
        assert "enabled = false. Use cancorderctl start off" in restarted.stdout
        running.write(mock("a", f"port = {taken}") + mock("new", f"port = {free}"))
        reloaded = running.ctl("reload")
        assert reloaded.returncode == 1
        assert reloaded.stdout == "a: restarted (port)\nnew: added\noff: removed\n"
        assert f"a: failed: port {taken} is in use by " in reloaded.stderr
        assert "The other changes are in force." in reloaded.stderr
        serves(free)
        assert running.ctl("start", "a").returncode == 1
        assert running.ctl("restart", "a").returncode == 1
        assert running.ctl("stop", "a").returncode == 0
        client = ControlClient(str(running.socket))
        failed = client.control("a", "start")
        assert (failed["state"], failed["done"]) == ("failed", False)


def test_a_storm_of_commands_and_reloads_ends_as_the_file_and_the_last_commands_say(
    aged: object, tmp_path: Path
) -> None:
    chance = random.Random(22)
    names = ("a", "b", "c")
    numbers = ports(30, 3)

    def some_buses() -> str:
        given = chance.sample([*numbers, None, None], 3)
        return "".join(
            mock(
                name,
                f"enabled = {'true' if chance.random() < 0.8 else 'false'}",
                *([f"port = {port}"] if port else []),
            )
            for name, port in zip(names, given, strict=True)
            if chance.random() < 0.9
        )

    with Daemon(tmp_path, some_buses()) as running:
        writing = threading.Lock()
        end_s = time.monotonic() + STORM_S
        failures: list[object] = []

        def storm(number: int) -> None:
            mine = random.Random(number)
            client = ControlClient(str(running.socket))
            while time.monotonic() < end_s:
                try:
                    if mine.random() < 0.2:
                        with writing:
                            running.write(some_buses())
                            client.reload()
                        continue
                    verb: Verb = mine.choice(("start", "stop", "restart"))
                    answer = client.control(mine.choice(names), verb)
                    if verb == "stop" and answer["state"] not in ("stopped", "disabled"):
                        failures.append(answer)
                except ControlError as error:
                    if "there is no bus" not in str(error):
                        failures.append(error)

        threads = [threading.Thread(target=storm, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        running.write(
            "".join(mock(name, f"port = {port}") for name, port in zip(names, numbers, strict=True))
        )
        assert running.ctl("reload").returncode in (0, 1)
        client = ControlClient(str(running.socket))
        assert client.control("a", "start")["state"] == "running", running.log.read_text()
        assert client.control("b", "stop")["state"] == "stopped"
        assert client.control("c", "restart")["state"] == "running"
        assert served(client) == {"a": numbers[0], "c": numbers[2]}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", numbers[1]), 5)
        assert len(running.workers()) == 2, "no worker is left behind"
        assert "Traceback" not in running.log.read_text()


def test_a_first_crash_is_mended_at_once(aged: tuple[Daemon, float]) -> None:
    running, began_s = aged
    poll(lambda: time.monotonic() > began_s + STABLE_S + 2, STABLE_S + 10, "the age of the workers")
    before = running.bus("a")
    with Client(before["port"]) as viewer:
        viewer.wait_frames(1)
        os.kill(before["pid"], signal.SIGKILL)
        with Client(before["port"]) as again:
            again.wait_frames(1)
    after = running.bus("a")
    assert (after["restarts"], after["state"]) == (1, "running")
    assert "a: backoff" not in running.log.read_text()
    assert "signal 9" in after["last_error"]
    # The second crash in a row waits.
    os.kill(after["pid"], signal.SIGKILL)
    poll(lambda: "backoff: the worker was ended by signal 9" in running.log.read_text(), what="back-off")
    assert running.bus("b")["restarts"] == 0
