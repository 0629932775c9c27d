"""Ends of daemons and forwarders in an outage, and what the next one finds: nothing is lost without being counted."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.fleet.test_forwarding import (
    RATE,
    bus,
    drained,
    forward,
    forwarded,
    lag,
    state,
    wait_connected,
    wait_forwarded,
    wait_received,
)
from tests.support.harness import Client, Daemon, alive, busy_limit_s, poll
from tests.support.hub_account import Hub
from tests.support.nats_server import PROGRAM, NatsServer
from tests.support.numbered_frames import number

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")


def test_daemon_that_is_killed_in_an_outage_and_started_at_once(tmp_path: Path) -> None:
    """The forwarder of the killed daemon still writes its frames while the next one starts."""
    server = NatsServer(tmp_path / "hub").start()
    hub = Hub(server.url, "truck-17")
    hub.make_stream()
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        wait_connected(daemon)
        server.kill()
        wait_received(daemon, "a", 3 * RATE)
        daemon.kill()
    with Daemon(tmp_path, forward(server.url) + bus("b", count=100)) as daemon:
        poll(lambda: state(daemon)["pid"])
        with server:
            poll(lambda: forwarded(daemon) >= 100 and not lag(daemon), what=f"all frames: {state(daemon)}")
            accounts = hub.accounts()
            accounts["a"].assert_complete()
            assert len(accounts["a"].numbers) >= 3 * RATE
            accounts["b"].assert_complete()


def test_two_daemons_with_one_spool(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "hub") as server:
        hub = Hub(server.url, "truck-17")
        hub.make_stream()
        with Daemon(tmp_path, forward(server.url) + bus("a")) as first:
            wait_connected(first)
            (tmp_path / "second").mkdir()
            second = Daemon(tmp_path / "second", forward(server.url) + bus("b", count=100))
            second.file.write_text(
                second.file.read_text().replace(str(tmp_path / "second/state"), str(tmp_path / "state"))
            )
            with second:
                poll(lambda: "another forwarder uses" in state(second)["reason"], what=f"{state(second)}")
                assert second.ctl("status").returncode == 3
                drained(first, hub).assert_complete()
                first.stop()
                poll(lambda: forwarded(second) == 100, what=f"{state(second)}")
                hub.accounts()["b"].assert_complete()


def test_reload_that_renames_the_gateway_tells_of_the_frames_of_the_old_name(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "hub")
    with Daemon(tmp_path, forward(server.url, "ram_s = 1") + bus("a")) as daemon:
        poll(lambda: list((tmp_path / "state/forward/truck-17").glob("*.batches")))
        table = forward(server.url).replace("truck-17", "truck-18")
        daemon.write(table + bus("a"))
        assert "[forward]: updated (gateway, ram_s)" in daemon.ctl("reload", "--dry-run").stdout
        done = daemon.ctl("reload")
        assert done.stdout.splitlines() == ["a: unchanged", "[forward]: updated (gateway, ram_s)"]
        daemon.wait_log("of frames wait for a gateway of this name")
        daemon.write(bus("a"))
        assert "[forward]: removed" in daemon.ctl("reload").stdout
        daemon.wait_log("reloaded: [forward]: removed")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_daemon_that_ends_before_it_knows_what_a_killed_forwarder_had(
    how: signal.Signals, tmp_path: Path
) -> None:
    """Only this daemon knows of these frames, so its forwarder counts them at its end, without the hub's help."""
    server = NatsServer(tmp_path / "hub").start()
    hub = Hub(server.url, "truck-17")
    hub.make_stream()
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        server.kill()
        wait_received(daemon, "a", RATE)
        killed = state(daemon)["pid"]
        os.kill(killed, signal.SIGKILL)
        poll(lambda: state(daemon)["pid"] not in (killed, None) and state(daemon)["buses"])
        wait_received(daemon, "a", RATE)
        assert daemon.process
        daemon.process.send_signal(how)
        daemon.process.wait()
    with server, Daemon(tmp_path, forward(server.url) + bus("b", count=100)) as daemon:
        poll(lambda: forwarded(daemon) >= 100 and not lag(daemon), what=f"all frames: {state(daemon)}")
        account = hub.accounts()["a"]
        account.assert_in_order()
        assert 0 < account.missing <= account.lost.unknown <= account.missing + 2 * RATE


def test_forwarder_that_is_killed_before_it_has_stored_anything(tmp_path: Path) -> None:
    """Its first frames are counted, too."""
    server = NatsServer(tmp_path / "hub")
    with Daemon(tmp_path, forward(server.url, "ram_s = 60") + bus("a")) as daemon:
        poll(lambda: lag(daemon) > RATE)
        killed = state(daemon)["pid"]
        os.kill(killed, signal.SIGKILL)
        poll(lambda: state(daemon)["pid"] not in (killed, None))
        with server:
            hub = Hub(server.url, "truck-17")
            hub.make_stream()
            wait_connected(daemon)
            wait_forwarded(daemon, RATE)
            account = drained(daemon, hub)
            account.assert_in_order()
            assert account.missing == account.lost.unknown > RATE


def assert_stored_up_to_the_last_of(client: Client, server: NatsServer, folder: Path) -> None:
    """Assert that the hub gets, from the spool, every frame of the ended bus a, also the last one that a client saw."""
    poll(lambda: client.ended, what="the end of the client's connection")
    hub = Hub(server.url, "truck-17")
    with server, Daemon(folder, forward(server.url) + bus("b", count=100)) as daemon:
        hub.make_stream()
        poll(lambda: forwarded(daemon) >= 100 and not lag(daemon), what=f"all frames: {state(daemon)}")
        account = hub.accounts()["a"]
        account.assert_complete()
        assert account.numbers[-1] >= number(client.frames[-1])


def assert_counted(server: NatsServer, folder: Path, last: int) -> None:
    """Assert that the hub gets the frames of the ended bus a up to the number `last`, but for those that are counted."""
    with server, Daemon(folder, forward(server.url) + bus("b", count=100)) as daemon:
        hub = Hub(server.url, "truck-17")
        hub.make_stream()
        poll(lambda: forwarded(daemon) >= 100 and not lag(daemon), what=f"all frames: {state(daemon)}")
        account = hub.accounts()["a"]
        account.assert_in_order()
        assert account.numbers[-1] >= last
        assert account.missing <= account.lost.unknown


@pytest.mark.parametrize("forwarder_first", [True, False])
def test_sigterm_to_all_processes_of_the_daemon(forwarder_first: bool, tmp_path: Path) -> None:
    """As systemd stops a service: the forwarder is terminated while the workers still deliver their last frames."""
    server = NatsServer(tmp_path / "hub")
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        poll(lambda: lag(daemon) > RATE)
        with Client(daemon.wait_port("a")) as client:
            client.wait_frames(RATE // 2)
            processes = daemon.workers()
            forwarder = state(daemon)["pid"]
            processes.sort(key=lambda each: each.pid != forwarder, reverse=not forwarder_first)
            assert forwarder in {each.pid for each in processes}
            for process in processes:
                process.terminate()
                if process.pid == forwarder and forwarder_first:
                    client.wait_frames(RATE // 5)
            assert daemon.stop() == 0
            assert_stored_up_to_the_last_of(client, server, tmp_path)


def test_forwarder_that_somebody_terminates_costs_nothing(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "hub") as server, Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        hub = Hub(server.url, "truck-17")
        hub.make_stream()
        wait_forwarded(daemon, RATE)
        terminated = state(daemon)["pid"]
        os.kill(terminated, signal.SIGTERM)
        poll(lambda: state(daemon)["pid"] not in (terminated, None))
        wait_forwarded(daemon, RATE)
        account = drained(daemon, hub)
        account.assert_complete()
        assert account.lost.total == 0


def test_end_of_the_daemon_while_no_forwarder_runs(tmp_path: Path) -> None:
    """A forwarder that was killed just before has no successor yet: a last one takes what the workers have sent."""
    server = NatsServer(tmp_path / "hub")
    with Daemon(tmp_path, forward(server.url, "ram_s = 1") + bus("a")) as daemon:
        poll(lambda: lag(daemon) > RATE)
        with Client(daemon.wait_port("a")) as client:
            # Each end is followed by a longer delay.
            for _ in range(3):
                killed = poll(lambda: state(daemon)["pid"])
                os.kill(killed, signal.SIGKILL)
                poll(lambda: state(daemon)["pid"] != killed)  # noqa: B023 - in this round
            assert state(daemon)["pid"] is None
            client.wait_frames(RATE // 2)
            assert daemon.stop() == 0
            poll(lambda: client.ended, what="the end of the client's connection")
            last = number(client.frames[-1])
    assert_counted(server, tmp_path, last)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_end_of_the_daemon_while_a_forwarder_starts(how: signal.Signals, tmp_path: Path) -> None:
    """Whatever happens to one that has read nothing yet, a last one takes what the workers have sent."""
    server = NatsServer(tmp_path / "hub")
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        poll(lambda: lag(daemon) > RATE)
        with Client(daemon.wait_port("a")) as client:
            client.wait_frames(RATE // 2)
            before = state(daemon)["pid"]
            daemon.write(forward(server.url, "flush_ms = 20") + bus("a"))
            assert daemon.ctl("reload").returncode == 0
            started = poll(lambda: (pid := state(daemon)["pid"]) != before and pid)
            client.wait_more()
            os.kill(started, how)
            assert daemon.stop() == 0
            assert not alive(started)
            assert_stored_up_to_the_last_of(client, server, tmp_path)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_end_of_the_daemon_with_a_forwarder_that_fails(how: signal.Signals, tmp_path: Path) -> None:
    """Nobody else knows of what it had in memory: a last one counts it."""
    server = NatsServer(tmp_path / "hub")
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        poll(lambda: lag(daemon) > RATE)
        with Client(daemon.wait_port("a")) as client:
            client.wait_frames(RATE // 2)
            failing = state(daemon)["pid"]
            os.kill(failing, how)
            began_s = time.monotonic()
            assert daemon.stop() == 0
            assert time.monotonic() - began_s < busy_limit_s(5.0)
            assert not alive(failing)
            poll(lambda: client.ended, what="the end of the client's connection")
            last = number(client.frames[-1])
    assert_counted(server, tmp_path, last)


def test_killed_forwarder_had_the_last_frames_of_a_stopped_bus(tmp_path: Path) -> None:
    """No worker sends anything any more that would show them."""
    server = NatsServer(tmp_path / "hub")
    with server, Daemon(tmp_path, forward(server.url, "ram_s = 60") + bus("a")) as daemon:
        hub = Hub(server.url, "truck-17")
        hub.make_stream()
        wait_forwarded(daemon, RATE)
        server.kill()
        wait_received(daemon, "a", RATE)
        daemon.ctl("stop", "a")
        received = daemon.bus("a")["frames"]["received"]
        poll(lambda: forwarded(daemon) + lag(daemon) == received, what=f"{received} frames: {state(daemon)}")
        os.kill(state(daemon)["pid"], signal.SIGKILL)
        server.start()
        wait_connected(daemon)
        poll(
            lambda: any(each["lost"]["unknown"] for each in state(daemon)["buses"]),
            what="the loss is counted",
        )
        poll(lambda: hub.accounts()["a"].lost.unknown, what="the hub has the count")
        account = hub.accounts()["a"]
        account.assert_complete()
        assert len(account.numbers) + account.lost.unknown == received


def test_killed_forwarder_had_frames_of_a_bus_that_was_removed_and_added_again(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "hub")
    table = forward(server.url, "ram_s = 60")
    with Daemon(tmp_path, table + bus("a")) as daemon:
        poll(lambda: lag(daemon) > 2 * RATE)
        daemon.write(table)
        assert daemon.ctl("reload").returncode == 0
        before = poll(lambda: lag(daemon))
        daemon.write(table + bus("a"))
        assert daemon.ctl("reload").returncode == 0
        poll(lambda: lag(daemon) > before + RATE)
        had = lag(daemon)
        os.kill(state(daemon)["pid"], signal.SIGKILL)
        with server:
            Hub(server.url, "truck-17").make_stream()
            wait_connected(daemon)
            poll(
                lambda: sum(each["lost"]["unknown"] for each in state(daemon)["buses"]) >= had,
                what="the count",
            )


def test_frames_of_a_forwarder_that_is_killed_in_its_first_second_do_not_count_as_lost_if_the_hub_has_them(
    tmp_path: Path,
) -> None:
    with NatsServer(tmp_path / "hub") as server:
        hub = Hub(server.url, "truck-17")
        hub.make_stream()
        with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
            poll(lambda: hub.last_sequence() > 20)
            killed = state(daemon)["pid"]
            os.kill(killed, signal.SIGKILL)
            poll(lambda: state(daemon)["pid"] not in (killed, None))
            wait_connected(daemon)
            wait_forwarded(daemon, RATE)
            account = drained(daemon, hub)
            account.assert_in_order()
            assert account.missing == account.lost.unknown < RATE // 5


def test_two_forwarders_that_are_killed_in_one_outage(tmp_path: Path) -> None:
    """The second one has stored frames of its own, and still nobody knows what the first had."""
    server = NatsServer(tmp_path / "hub").start()
    hub = Hub(server.url, "truck-17")
    hub.make_stream()
    with Daemon(tmp_path, forward(server.url, "ram_s = 1") + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        server.kill()
        for _ in range(2):
            wait_received(daemon, "a", 3 * RATE)
            killed = state(daemon)["pid"]
            os.kill(killed, signal.SIGKILL)
            poll(lambda: state(daemon)["pid"] not in (killed, None) and state(daemon)["buses"])  # noqa: B023
        wait_received(daemon, "a", RATE)
        with server:
            wait_connected(daemon)
            wait_forwarded(daemon, RATE)
            account = drained(daemon, hub)
            account.assert_in_order()
            assert 0 < account.missing <= account.lost.unknown <= account.missing + RATE // 5
