"""Commands, reloads and failures in any order, over the real manager with workers and ports of the test's own.

Hypothesis chooses the order. At the end, each bus is as the file and the latest command say, and reachable.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from cancorderd.config import settings_json
from cancorderd.supervisor.changes import needs_new_worker
from cancorderd.supervisor.listeners import ListenerKeeper, PortUnavailable
from cancorderd.supervisor.manager import Manager, Outcome, UnknownBus
from cancorderd.supervisor.port_memory import PortMemory
from cancorderd.supervisor.state_machine import ALIVE, Event, State
from tests.support.virtual_time import VirtualTimeLoop
from tests.unit.supervisor.fakes import FakeWorker, configuration, mock_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cancorderd.adapters.mock_settings import MockSettings
    from cancorderd.config.configuration import Configuration
    from cancorderd.ipc.messages import WorkerStart
    from cancorderd.supervisor.listeners import ListenRequest
    from cancorderd.supervisor.worker_process import HeldClient

NAMES = ("a", "b", "c")
PORTS = (42420, 42421, 42422)
LOCAL = ("127.0.0.1",)
EDITS = st.tuples(
    st.sampled_from(["speed", "enabled", "enabled and speed", "port", "port", "automatic port", "remove"]),
    st.sampled_from(NAMES),
    st.sampled_from(PORTS),
)
LONG_S = 400.0
"""Enough for every delay, and for a worker to prove itself."""
ARRIVAL_TURNS = 6
"""Turns of the event loop until a request has taken its place before later ones."""
VERBS = {"start": Event.START, "stop": Event.STOP, "restart": Event.RESTART}


class Ports(ListenerKeeper):
    """Ports without sockets of the system: a port that anybody has cannot be opened."""

    def __init__(self) -> None:
        self.foreign: set[int] = set()
        """Ports of other programs."""
        self.open_sockets: dict[socket.socket, int] = {}

    def prepare(self, requests: Mapping[str, ListenRequest]) -> None:
        pass

    def open(self, bus: str, addresses: Sequence[str], port: int) -> list[socket.socket]:
        if port in self.foreign or port in self.open_sockets.values():
            raise PortUnavailable(f"port {port} is in use.")
        sock = socket.socket()
        self.open_sockets[sock] = port
        return [sock]

    def adopt(self, bus: str, sockets: Sequence[socket.socket]) -> None:
        for sock in sockets:
            self.open_sockets[sock] = sock.getsockname()[1]

    def close(self, bus: str, sockets: list[socket.socket]) -> None:
        for sock in sockets:
            del self.open_sockets[sock]
        super().close(bus, sockets)


class Habits(NamedTuple):
    """How workers behave that start from now on."""

    report_after_s: float = 0.0
    end_after_s: float | None = 0.0
    """After SIGTERM; None: SIGKILL alone ends it."""


class HabitualWorker(FakeWorker):
    habits: Habits

    def start(
        self,
        bus: str,
        first_message: WorkerStart,
        listeners: Sequence[socket.socket],
        clients: Sequence[HeldClient],
    ) -> None:
        super().start(bus, first_message, listeners, clients)
        self._end_after_s = self.habits.end_after_s
        asyncio.get_running_loop().call_later(self.habits.report_after_s, self._report)

    def _report(self) -> None:
        if not self.ended:
            self.report()

    def signal(self, number: signal.Signals) -> None:
        super().signal(number)
        if number == signal.SIGKILL:
            self.end(-9)
        elif self._end_after_s is not None:
            asyncio.get_running_loop().call_later(self._end_after_s, self.end, 0)

    def end(self, status: int, reason: str = "") -> None:
        if not self.ended:
            self.exit(status, reason)


def _from_file(bus: MockSettings) -> State:
    return State.RUNNING if bus.enabled else State.DISABLED


def _after_command(state: State, verb: str) -> State:
    if verb == "stop":
        return State.STOPPED if state == State.RUNNING else state
    if verb == "restart" and state == State.DISABLED:
        return state
    return State.RUNNING


class Command(NamedTuple):
    number: int
    bus: str
    answer: asyncio.Task[Outcome | None]


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = VirtualTimeLoop()
        self.habits = Habits()
        self.workers: list[HabitualWorker] = []
        self.ports = Ports()
        self.file = {name: mock_settings(name, listen=LOCAL) for name in NAMES[:2]}
        self.manager = Manager(
            self.configuration(),
            None,
            lambda _bus: None,
            keeper=self.ports,
            memory=PortMemory(None),
            new_worker=self.new_worker,
        )
        self.expected = {name: _from_file(bus) for name, bus in self.file.items()}
        """By bus of the file: its state when everything is done."""
        self.commands: list[Command] = []
        self.answered: list[Command] = []
        self.reloads: list[asyncio.Task[object]] = []
        self.numbers = itertools.count()
        self.loop.call_soon(self.manager.start)
        self.loop.run_turns(1)

    def new_worker(self, on_message: object, on_exit: object) -> HabitualWorker:
        worker = HabitualWorker(on_message, on_exit)  # type: ignore[arg-type]
        worker.habits = self.habits
        self.workers.append(worker)
        return worker

    def configuration(self) -> Configuration:
        return configuration(Path(self.folder.name), *self.file.values())

    def living(self, name: str) -> list[HabitualWorker]:
        return [worker for worker in self.workers if worker.bus == name and not worker.ended]

    @rule(name=st.sampled_from(NAMES), verb=st.sampled_from(sorted(VERBS)), turns=st.integers(0, 3))
    def command(self, name: str, verb: str, turns: int) -> None:
        if name in self.expected:
            self.expected[name] = _after_command(self.expected[name], verb)
        command = Command(next(self.numbers), name, self.loop.create_task(self.control(name, verb)))
        command.answer.add_done_callback(lambda _: self.answered.append(command))
        self.commands.append(command)
        self.loop.run_turns(ARRIVAL_TURNS + turns)

    async def control(self, name: str, verb: str) -> Outcome | None:
        try:
            outcome = await self.manager.control(name, VERBS[verb])
        except UnknownBus:
            return None
        bus = self.manager.buses[name]
        assert (outcome.state, outcome.bus) == (bus.state, name), "the answer is what holds at that moment"
        if verb == "stop":
            assert outcome.done, outcome
        elif outcome.done:
            assert outcome.state in (State.RUNNING, State.WAITING)
        else:
            assert outcome.state not in (State.RUNNING, State.WAITING)
        return outcome

    @precondition(lambda self: all(reload.done() for reload in self.reloads))
    @rule(edits=st.lists(EDITS, min_size=1, max_size=3), turns=st.integers(0, 3))
    def reload(self, edits: list[tuple[str, str, int]], turns: int) -> None:
        before, self.file = self.file, dict(self.file)
        for kind, name, port in edits:
            self.edit(kind, name, port)
        self.expected = {
            name: self.expected[name]
            if name in before and before[name].enabled == bus.enabled
            else _from_file(bus)
            for name, bus in self.file.items()
        }
        self.reloads.append(self.loop.create_task(self.manager.reload(self.configuration())))
        self.loop.run_turns(ARRIVAL_TURNS + turns)

    def edit(self, kind: str, name: str, port: int) -> None:
        """Change one bus of the file, or a second one, too, that has its new port."""
        bus = self.file.get(name)
        if bus is None:
            self.file[name] = mock_settings(name, listen=LOCAL)
        elif kind == "enabled":
            self.file[name] = replace(bus, enabled=not bus.enabled)
        elif kind == "enabled and speed":
            self.file[name] = replace(bus, enabled=not bus.enabled, speed=3.0 - bus.speed)
        elif kind == "speed":
            self.file[name] = replace(bus, speed=3.0 - bus.speed)
        elif kind == "automatic port":
            self.file[name] = replace(bus, port=None)
        elif kind == "remove":
            del self.file[name]
        else:
            for other in self.file.values():
                if other.port == port:  # the two swap their ports
                    self.file[other.name] = replace(other, port=bus.port)
            self.file[name] = replace(bus, port=port)

    @rule(name=st.sampled_from(NAMES), status=st.sampled_from([0, 1, -9, 74, 78]))
    def end_worker(self, name: str, status: int) -> None:
        for worker in self.living(name):
            self.loop.call_soon(worker.end, status, "the worker failed")
        self.loop.run_turns(1)

    @rule(name=st.sampled_from(NAMES))
    def hang(self, name: str) -> None:
        bus = self.manager.buses.get(name)
        if bus and bus.state in ALIVE:
            self.loop.call_soon(bus.handle, Event.HUNG, "no heartbeat")
            self.loop.run_turns(1)

    @rule(port=st.sampled_from(PORTS))
    def take_or_release_a_port(self, port: int) -> None:
        self.ports.foreign ^= {port}

    @rule(report_after_s=st.sampled_from([0.0, 0.3, 15.0]), end_after_s=st.sampled_from([0.0, 0.3, None]))
    def change_habits(self, report_after_s: float, end_after_s: float | None) -> None:
        self.habits = Habits(report_after_s, end_after_s)

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run(seconds)

    @rule()
    def everything_comes_to_rest(self) -> None:
        habits, foreign = self.habits, self.ports.foreign
        self.habits, self.ports.foreign = Habits(), set()
        self.loop.run(LONG_S)
        assert all(reload.done() for reload in self.reloads)
        for task in [*self.reloads, *(command.answer for command in self.commands)]:
            task.result()
        for name in NAMES:
            numbers = [c.number for c in self.answered if c.bus == name and c.answer.result()]
            assert numbers == sorted(numbers), "commands on a bus are answered in the order of their arrival"
        # A worker that refused its settings waits for a command.
        for name, bus in self.manager.buses.items():
            if bus.state == State.FAILED:
                assert bus.reason == "the worker failed"
                outcome = self.loop.run_until_complete(self.control(name, "start"))
                assert outcome
                assert outcome.done
        self.loop.run(1.0)
        self.check_every_bus()
        self.habits, self.ports.foreign = habits, foreign

    def teardown(self) -> None:
        try:
            self.everything_comes_to_rest()
            self.loop.run_until_complete(self.manager.stop())
            assert all(worker.ended for worker in self.workers)
            assert not self.ports.open_sockets
        finally:
            for sock in self.ports.open_sockets:
                sock.close()
            self.loop.close()
            self.folder.cleanup()

    def check_every_bus(self) -> None:
        assert {name: bus.state for name, bus in self.manager.buses.items()} == self.expected
        fixed = {bus.port for bus in self.file.values() if bus.port}
        in_use: list[int] = []
        for name, bus in self.manager.buses.items():
            assert bus.settings == self.file[name]
            assert bus.reachable == (bus.state == State.RUNNING)
            living = self.living(name)
            assert len(living) == (bus.state == State.RUNNING)
            for worker in living:
                assert worker.first_message
                used = settings_json.from_json(worker.first_message.settings)
                assert not needs_new_worker(used, bus.settings), "the worker has the settings of the file"
                assert {self.ports.open_sockets[sock] for sock in worker.listeners} == {bus.port}
                assert bus.port == bus.settings.port or (bus.settings.port is None and bus.port not in fixed)
                assert bus.port
                in_use.append(bus.port)
        assert sorted(in_use) == sorted(self.ports.open_sockets.values())
        assert len(in_use) == len(set(in_use))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=120, stateful_step_count=60, suppress_health_check=list(HealthCheck), deadline=None
)
