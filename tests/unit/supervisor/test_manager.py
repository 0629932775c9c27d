"""All buses of a configuration, with fake workers and listeners."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.supervisor import manager
from cancorderd.supervisor.changes import ChangeKind
from cancorderd.supervisor.listeners import FIRST_AUTOMATIC
from cancorderd.supervisor.manager import Ending, Manager, UnknownBus
from cancorderd.supervisor.port_memory import PortMemory
from cancorderd.supervisor.state_machine import Event, State
from tests.support.virtual_time import VirtualTimeLoop
from tests.unit.supervisor.fakes import (
    FakeKeeper,
    FakeWorker,
    ObedientWorker,
    Workers,
    configuration,
    in_event_loop,
    mock_settings,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cancorderd.adapters.mock_settings import MockSettings
    from cancorderd.config.configuration import Configuration

LOCAL = ("127.0.0.1",)


class Rig:
    """A manager with fakes around it. Its buses have fixed ports unless a test says otherwise."""

    def __init__(
        self,
        folder: Path,
        *buses: MockSettings,
        worker: type[FakeWorker] = ObedientWorker,
        settle_within_s: float = 10.0,
    ) -> None:
        self.folder = folder
        self.workers = Workers(worker)
        self.keeper = FakeKeeper()
        self.memory = PortMemory(str(folder / "state"))
        self.changed: list[tuple[str, State]] = []
        self.manager = Manager(
            self.configuration(*buses),
            "/etc/cancorder.toml",
            lambda bus: self.changed.append((bus.name, bus.state)),
            keeper=self.keeper,
            memory=self.memory,
            new_worker=self.workers,
            settle_within_s=settle_within_s,
        )

    def configuration(self, *buses: MockSettings, **daemon: str) -> Configuration:
        return configuration(self.folder, *buses, **daemon)

    def states(self) -> dict[str, State]:
        return {name: bus.state for name, bus in self.manager.buses.items()}

    async def all_running(self) -> None:
        await until(lambda: set(self.states().values()) == {State.RUNNING})


def mock_bus(name: str, port: int, **keys: object) -> MockSettings:
    return mock_settings(name, port=port, **keys)


@in_event_loop
async def test_start_opens_every_port_and_starts_enabled_buses(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000), mock_bus("b", 5001), mock_bus("off", 5002, enabled=False))
    rig.manager.start()
    assert rig.keeper.calls == [("open", "a", 5000), ("open", "b", 5001)]
    assert rig.states() == {"a": State.STARTING, "b": State.STARTING, "off": State.DISABLED}
    assert list(rig.keeper.requests) == ["a", "b"]
    await rig.manager.settle(list(rig.manager.buses.values()))
    assert rig.states()["a"] == State.RUNNING
    await rig.manager.stop()


@in_event_loop
async def test_one_bus_without_a_port_does_not_keep_the_others_from_starting(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000), mock_bus("b", 5001))
    rig.keeper.unavailable = {5000}
    rig.manager.start()
    await until(lambda: rig.states() == {"a": State.FAILED, "b": State.RUNNING})
    await rig.manager.stop()


@in_event_loop
async def test_automatic_ports_are_remembered_and_reserved_for_their_bus(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path,
        mock_bus("fixed", FIRST_AUTOMATIC + 1),
        mock_settings("a", listen=LOCAL),
        mock_settings("b", listen=LOCAL),
    )
    rig.memory.remember("gone", FIRST_AUTOMATIC)
    rig.manager.start()
    ports = {name: bus.port for name, bus in rig.manager.buses.items()}
    assert ports["a"] not in (None, FIRST_AUTOMATIC, FIRST_AUTOMATIC + 1), "reserved for other buses"
    assert len(set(ports.values())) == 3
    assert (rig.memory.get("a"), rig.memory.get("b")) == (ports["a"], ports["b"])
    assert ("adopt", "a", ports["a"]) in rig.keeper.calls
    await rig.manager.stop()
    again = Rig(tmp_path, mock_settings("b", listen=LOCAL), mock_settings("a", listen=LOCAL))
    again.manager.start()
    assert {name: bus.port for name, bus in again.manager.buses.items()} == {
        "b": ports["b"],
        "a": ports["a"],
    }
    await again.manager.stop()


@in_event_loop
async def test_an_inherited_port_comes_before_the_remembered_one(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_settings("a"), mock_settings("b"), mock_bus("fixed", 5001))
    rig.memory.remember("a", 5003)
    rig.memory.remember("b", 5001)
    rig.keeper.inherited = {"a": 5000}
    rig.manager.start()
    assert rig.manager.buses["a"].port == 5000
    assert rig.keeper.requests["a"].port == 5000
    assert rig.keeper.requests["b"].port is None, "its remembered port is fixed for another bus"
    await rig.manager.stop()


@in_event_loop
async def test_a_kept_port_that_is_taken_is_replaced_for_this_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = FIRST_AUTOMATIC + 100
    rig = Rig(tmp_path, mock_settings("a", listen=LOCAL), mock_settings("b", listen=LOCAL))
    rig.memory.remember("a", kept)
    rig.memory.remember("b", FIRST_AUTOMATIC)
    rig.keeper.unavailable = {kept}
    rig.manager.start()
    await rig.all_running()
    a, b = rig.manager.buses.values()
    assert b.port == FIRST_AUTOMATIC
    assert a.port not in (None, kept, FIRST_AUTOMATIC), "not the port that is kept for another bus"
    assert ("adopt", "a", a.port) in rig.keeper.calls
    (told,) = (record for record in caplog.records if "is kept for this bus" in record.getMessage())
    assert told.__dict__["bus"] == "a"
    assert f"port {kept}" in told.getMessage()
    assert "nc (process 7)" in told.getMessage()
    assert rig.memory.get("a") == kept
    await rig.memory.written(10)
    assert PortMemory(str(tmp_path / "state")).get("a") == kept
    rig.keeper.unavailable = set()
    await rig.manager.control("a", Event.STOP)
    await rig.manager.control("a", Event.START)
    assert a.port == kept
    await rig.manager.stop()


@in_event_loop
async def test_a_configured_port_that_is_taken_is_not_replaced(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000))
    rig.keeper.unavailable = {5000}
    rig.manager.start()
    await until(lambda: rig.states() == {"a": State.FAILED})
    assert "nc (process 7)" in rig.manager.buses["a"].reason
    await rig.manager.stop()


@in_event_loop
async def test_addresses_are_checked_with_the_heartbeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000))
    rig.manager.start()
    checks = []
    monkeypatch.setattr(rig.manager.buses["a"], "check_addresses", lambda: checks.append(True))
    rounds: list[float] = []
    watching = asyncio.create_task(rig.manager.watch_heartbeats(rounds.append, 0.001))
    await until(lambda: len(rounds) > 20)
    watching.cancel()
    assert len(checks) == 1, "every two seconds"
    await rig.manager.stop()


@in_event_loop
async def test_ports_that_cannot_be_stored_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file in place of the folder")
    rig = Rig(tmp_path, mock_settings("a", listen=LOCAL))
    rig.manager.start()
    await rig.manager.stop()
    assert "automatic ports are not kept across restarts" in caplog.text


@in_event_loop
async def test_reload_leaves_unchanged_buses_alone(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000), mock_bus("b", 5001))
    rig.manager.start()
    await rig.all_running()
    changed = rig.configuration(mock_bus("b", 5001, speed=2.0), mock_bus("new", 5002), mock_bus("a", 5000))
    planned = rig.manager.planned_changes(changed)
    assert len(rig.workers.made) == 2, "planning changes nothing"
    assert await rig.manager.reload(changed) == (planned, [])
    assert [(change.bus, change.kind) for change in planned] == [
        ("b", ChangeKind.RESTARTED),
        ("new", ChangeKind.ADDED),
        ("a", ChangeKind.UNCHANGED),
    ]
    assert [len(rig.workers.of(name)) for name in ("a", "b", "new")] == [1, 2, 1]
    assert rig.workers.of("a")[0].signals == []
    assert rig.states() == {"b": State.RUNNING, "new": State.RUNNING, "a": State.RUNNING}
    assert [status["name"] for status in rig.manager.status()["buses"]] == ["b", "new", "a"]
    await rig.manager.stop()


@in_event_loop
async def test_reload_ends_removed_buses_before_others_start(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("old", 5000), mock_bus("off", 5001))
    rig.manager.start()
    await rig.all_running()
    rig.keeper.calls.clear()
    await rig.manager.reload(rig.configuration(mock_bus("new", 5000), mock_bus("off", 5001, enabled=False)))
    assert rig.keeper.calls == [("close", "off", None), ("close", "old", None), ("open", "new", 5000)]
    assert rig.states() == {"new": State.RUNNING, "off": State.DISABLED}
    await rig.manager.stop()


@in_event_loop
async def test_stop_waits_for_the_workers_of_removed_buses_too(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, mock_bus("slow", 5000), worker=FakeWorker, settle_within_s=0.01)
    rig.manager.start()
    (slow,) = rig.workers.made
    slow.report()
    await rig.manager.reload(rig.configuration())
    stopping = asyncio.create_task(rig.manager.stop())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not stopping.done()
    slow.exit(0)
    await stopping


@in_event_loop
async def test_control_returns_when_the_bus_has_settled(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000))
    rig.manager.start()
    assert (await rig.manager.control("a", Event.RESTART)).state == State.RUNNING
    assert (await rig.manager.control("a", Event.STOP)).state == State.STOPPED
    assert (await rig.manager.control("a", Event.START)).state == State.RUNNING
    with pytest.raises(UnknownBus, match=r"^there is no bus none\. Buses: a\.$"):
        await rig.manager.control("none", Event.START)
    await rig.manager.stop()


@in_event_loop
async def test_commands_on_a_bus_are_done_in_the_order_of_arrival(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000), mock_bus("b", 5001))
    rig.manager.start()
    events = [Event.STOP, Event.START, Event.RESTART, Event.STOP, Event.STOP, Event.RESTART]
    outcomes = await asyncio.gather(*(rig.manager.control("a", event) for event in events))
    assert [outcome.state for outcome in outcomes] == [
        State.STOPPED,
        State.RUNNING,
        State.RUNNING,
        State.STOPPED,
        State.STOPPED,
        State.RUNNING,
    ]
    assert all(outcome.done for outcome in outcomes)
    assert len(rig.workers.of("b")) == 1
    await rig.manager.stop()


@in_event_loop
async def test_a_command_that_does_not_settle_delays_no_other_bus(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("slow", 5000), mock_bus("b", 5001), worker=FakeWorker, settle_within_s=0.05)
    rig.manager.start()
    slow = asyncio.create_task(rig.manager.control("slow", Event.RESTART))
    waiting = asyncio.create_task(rig.manager.control("slow", Event.STOP))
    rig.workers.of("b")[0].report()
    assert (await rig.manager.control("b", Event.START)).done
    assert not slow.done()
    outcome = await slow
    assert (outcome.state, outcome.done) == (State.STOPPING, False)
    assert "takes longer than" in outcome.reason
    assert not (await waiting).done
    stopping = asyncio.create_task(rig.manager.stop())
    await asyncio.sleep(0)
    for worker in rig.workers.made:
        worker.exit(0)
    await stopping


@in_event_loop
async def test_a_command_during_a_reload_waits_for_its_turn(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000), mock_bus("b", 5001), worker=FakeWorker)
    rig.manager.start()
    for worker in rig.workers.made:
        worker.report()
    changed = rig.configuration(mock_bus("a", 5000, speed=2.0), mock_bus("new", 5002))
    reload = asyncio.create_task(rig.manager.reload(changed))
    await until(lambda: rig.workers.of("b")[0].signals)
    commands = [
        asyncio.create_task(rig.manager.control(name, event))
        for name, event in (("a", Event.STOP), ("new", Event.RESTART), ("a", Event.START))
    ]
    await asyncio.sleep(0.01)
    assert rig.workers.of("a")[0].signals == [], "the reload waits for b, and the command for the reload"
    rig.workers.of("b")[0].exit(0)
    await until(lambda: rig.workers.of("a")[0].signals)
    rig.workers.of("a")[0].exit(0)
    for name in ("a", "new"):
        await until(lambda name=name: len(rig.workers.of(name)) == (2 if name == "a" else 1))  # type: ignore[misc]
        rig.workers.of(name)[-1].report()
    assert (await reload).undone == []
    for name in ("a", "new"):
        await until(lambda name=name: rig.workers.of(name)[-1].signals)  # type: ignore[misc]
        rig.workers.of(name)[-1].exit(0)
    assert (await commands[0]).state == State.STOPPED
    for number, name in ((3, "a"), (2, "new")):
        await until(lambda name=name, number=number: len(rig.workers.of(name)) == number)  # type: ignore[misc]
        rig.workers.of(name)[-1].report()
    assert [(await command).state for command in commands[1:]] == [State.RUNNING, State.RUNNING]
    await end(rig)


@in_event_loop
async def test_a_command_for_a_bus_that_a_reload_removes_names_the_others(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000), mock_bus("b", 5001))
    rig.manager.start()
    removed = rig.manager.buses["a"]
    reload = asyncio.create_task(rig.manager.reload(rig.configuration(mock_bus("b", 5001))))
    while not removed.turn.locked():  # noqa: ASYNC110 - the next turn of the loop is awaited, no time
        await asyncio.sleep(0)
    first = asyncio.create_task(rig.manager.control("a", Event.START))
    await reload
    with pytest.raises(UnknownBus, match=r"^there is no bus a\. Buses: b\.$"):
        await first
    await rig.manager.stop()


@in_event_loop
async def test_nothing_starts_once_the_end_has_begun(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("old", 5000), mock_bus("a", 5001), worker=FakeWorker)
    rig.manager.start()
    for worker in rig.workers.made:
        worker.report()
    changed = rig.configuration(mock_bus("a", 5001, speed=2.0), mock_bus("new", 5002))
    waiting: list[asyncio.Task[Any]] = [
        asyncio.create_task(rig.manager.reload(changed)),
        asyncio.create_task(rig.manager.reload(rig.configuration())),
    ]
    await until(lambda: rig.workers.of("old")[0].signals)
    waiting += [
        asyncio.create_task(rig.manager.control("a", event)) for event in (Event.START, Event.RESTART)
    ]
    await asyncio.sleep(0)
    await end(rig)
    for task in waiting:
        with pytest.raises(Ending):
            await task
    with pytest.raises(Ending):
        await rig.manager.control("a", Event.START)
    assert len(rig.workers.made) == 2


@in_event_loop
async def test_a_worker_that_the_kernel_does_not_end_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(manager, "_END_WITHIN_S", 0.05)
    rig = Rig(tmp_path, mock_bus("a", 5000), worker=FakeWorker)
    rig.manager.start()
    await rig.manager.stop()
    assert "the worker of a (process 4711) does not end: left behind" in caplog.text
    rig.workers.last.exit(-9)


@in_event_loop
async def test_a_bus_without_port_takes_no_port_of_a_later_bus(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path,
        mock_settings("automatic", listen=LOCAL),
        mock_bus("fixed", FIRST_AUTOMATIC),
        mock_bus("off", FIRST_AUTOMATIC + 1, enabled=False),
    )
    rig.manager.start()
    assert rig.manager.buses["automatic"].port not in (None, FIRST_AUTOMATIC, FIRST_AUTOMATIC + 1)
    await rig.manager.stop()


@in_event_loop
async def test_a_kept_port_that_a_reload_gives_to_another_bus_is_given_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_settings("automatic", listen=LOCAL))
    rig.manager.start()
    await rig.all_running()
    port = rig.manager.buses["automatic"].port
    assert port
    changed = rig.configuration(mock_settings("automatic", listen=LOCAL), mock_bus("fixed", port))
    outcome = await rig.manager.reload(changed)
    assert [(change.bus, change.kind, change.keys) for change in outcome.changes] == [
        ("automatic", ChangeKind.RESTARTED, ["port"]),
        ("fixed", ChangeKind.ADDED, []),
    ]
    assert rig.states() == {"automatic": State.RUNNING, "fixed": State.RUNNING}
    assert rig.manager.buses["automatic"].port not in (None, port)
    await rig.manager.stop()


@in_event_loop
async def test_a_reload_names_changed_buses_that_fail_or_do_not_settle(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000), worker=FakeWorker, settle_within_s=0.05)
    rig.manager.start()
    rig.workers.last.report()
    rig.keeper.unavailable = {5001}
    changed = rig.configuration(mock_bus("a", 5000), mock_bus("taken", 5001), mock_bus("slow", 5002))
    outcome = await rig.manager.reload(changed)
    assert [(undone.bus, undone.state) for undone in outcome.undone] == [
        ("taken", State.FAILED),
        ("slow", State.STARTING),
    ]
    assert "port 5001 is in use" in outcome.undone[0].reason
    await end(rig)


async def end(rig: Rig) -> None:
    """Stop the manager, and let every worker end."""
    stopping = asyncio.create_task(rig.manager.stop())
    await asyncio.sleep(0)
    for worker in rig.workers.made:
        if not worker.ended:
            worker.exit(0)
    await stopping


@in_event_loop
async def test_every_change_is_passed_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000))
    rig.manager.start()
    await rig.all_running()
    await rig.manager.stop()
    states = [state for _, state in rig.changed]
    assert list(dict.fromkeys(states)) == [State.STARTING, State.RUNNING, State.STOPPING, State.STOPPED]


def test_keys_that_need_a_restart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    other = rig.configuration(state_dir="/elsewhere", log_level="debug")
    assert rig.manager.needs_restart(other) == ["state_dir"]
    assert rig.manager.needs_restart(rig.configuration()) == []


@in_event_loop
async def test_heartbeats_of_all_buses_are_checked_in_each_round(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_bus("a", 5000, watchdog=2.0), mock_bus("b", 5001), worker=FakeWorker)
    rig.manager.start()
    for worker in rig.workers.made:
        worker.report()
    rig.workers.of("a")[0].last_message_s = time.monotonic() - 3
    rounds: list[float] = []
    watching = asyncio.create_task(rig.manager.watch_heartbeats(rounds.append, every_s=0.0))
    await until(lambda: len(rounds) >= 2)
    watching.cancel()
    assert rig.states() == {"a": State.STOPPING, "b": State.RUNNING}
    assert rig.workers.of("a")[0].signals == [signal.SIGTERM]
    await asyncio.gather(watching, return_exceptions=True)
    stopping = asyncio.create_task(rig.manager.stop())
    await asyncio.sleep(0)
    for worker in rig.workers.made:
        worker.exit(0)
    await stopping


@in_event_loop
async def test_clients_can_connect_to_every_address(tmp_path: Path) -> None:
    """Uses the default keeper: real sockets."""
    workers = Workers(ObedientWorker)
    manager = Manager(
        configuration(tmp_path, mock_settings("a", listen=("127.0.0.1", "::1"))),
        None,
        lambda _bus: None,
        new_worker=workers,
    )
    manager.start()
    port = manager.buses["a"].port
    assert port
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, port), 5).close()
    await manager.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_a_command_waits_no_longer_where_other_buses_change_meanwhile(tmp_path: Path) -> None:
    loop = VirtualTimeLoop()

    async def commanded() -> float:
        rig = Rig(tmp_path, mock_bus("slow", 5000), mock_bus("b", 5001), worker=FakeWorker)
        rig.manager.start()
        command = asyncio.create_task(rig.manager.control("slow", Event.START))
        began_s = loop.time()
        while not command.done():
            await asyncio.sleep(3.0)
            rig.manager.buses["b"].handle(Event.RESTART)
            for worker in rig.workers.of("b"):
                worker.report()
        passed_s = loop.time() - began_s
        for worker in rig.workers.made:
            worker.exit(0)
        await rig.manager.stop()
        return passed_s

    assert loop.run_until_complete(commanded()) == pytest.approx(12.0)
    loop.close()
