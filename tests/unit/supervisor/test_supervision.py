"""Buses that run and are announced, with fake workers and a fake announcer."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from cancorderd.supervisor.announcer import Announcer
from cancorderd.supervisor.state_machine import Event
from cancorderd.supervisor.supervision import Supervision
from tests.unit.supervisor.fakes import (
    FakeKeeper,
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
    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.supervisor.service_record import Identity


class FakeAnnouncer(Announcer):
    """Keeps the announced buses in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.announced: dict[str, tuple[str, str | int | None, int]] = {}
        self.failure: Exception | None = None

    def announce(self, settings: BusSettings, port: int) -> None:
        self.announced[settings.name] = (settings.interface, settings.channel, port)

    def withdraw(self, name: str) -> None:
        self.announced.pop(name, None)

    async def run(self, identity: Identity | None = None) -> None:
        if self.failure:
            raise self.failure
        await asyncio.Event().wait()


class Rig:
    def __init__(self, folder: Path, *buses: MockSettings) -> None:
        self.announcer = FakeAnnouncer()
        self.workers = Workers(ObedientWorker)
        self.supervision = Supervision(
            configuration(folder, *buses),
            None,
            lambda _bus: None,
            keeper=FakeKeeper(),
            announcer=self.announcer,
            new_worker=self.workers,
        )
        self.supervision.manager.start()

    @property
    def announced(self) -> dict[str, tuple[str, str | int | None, int]]:
        return self.announcer.announced


@in_event_loop
async def test_buses_are_announced_as_long_as_clients_can_connect(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path,
        mock_settings("a", port=5000),
        mock_settings("hidden", port=5001, zeroconf=False),
        mock_settings("off", port=5002, enabled=False),
    )
    assert rig.announced == {"a": ("mock", "mock", 5000)}
    await rig.supervision.manager.control("a", Event.STOP)
    assert rig.announced == {}
    await rig.supervision.manager.control("a", Event.START)
    assert list(rig.announced) == ["a"]
    await rig.supervision.stop()
    assert rig.announced == {}


@in_event_loop
async def test_a_removed_bus_is_withdrawn(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_settings("a", port=5000))
    await rig.supervision.manager.reload(configuration(tmp_path))
    assert rig.announced == {}
    await rig.supervision.stop()


@in_event_loop
async def test_a_bus_that_searches_is_announced_with_the_adapter_that_it_has_found(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_settings("a", port=5000))
    rig.workers.last.report("running", details={"found": "slcan /dev/ttyACM0"})
    assert rig.announced == {"a": ("slcan", "/dev/ttyACM0", 5000)}
    await rig.supervision.stop()


@in_event_loop
async def test_a_signal_requests_the_end(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_settings("a", port=5000))
    rig.supervision.end_on(signal.SIGUSR1)
    rig.supervision.announce()
    waiting = asyncio.create_task(rig.supervision.wait_for_end())
    await asyncio.sleep(0)
    assert not rig.supervision.ending
    os.kill(os.getpid(), signal.SIGUSR1)
    await waiting
    assert rig.supervision.ending
    await rig.supervision.stop()


@in_event_loop
async def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        rig = Rig(tmp_path)
        rig.supervision.end_on(signal.SIGUSR1)
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


@in_event_loop
async def test_a_task_that_fails_ends_the_supervision_with_its_exception(tmp_path: Path) -> None:
    def fail(_now_s: float) -> None:
        raise RuntimeError("a bug")

    rig = Rig(tmp_path)
    rig.supervision.watch(fail, every_s=0.001)
    with pytest.raises(RuntimeError, match="a bug"):
        await rig.supervision.wait_for_end()
    await rig.supervision.stop()


@in_event_loop
async def test_an_announcer_that_fails_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path, mock_settings("a", port=5000))
    rig.announcer.failure = RuntimeError("a bug")
    rig.supervision.announce()
    waiting = asyncio.create_task(rig.supervision.wait_for_end())
    await until(lambda: "announcing has ended" in caplog.text)
    await asyncio.sleep(0)
    assert not waiting.done()
    rig.supervision.request_end()
    await waiting
    await rig.supervision.stop()


@in_event_loop
async def test_workers_are_watched(tmp_path: Path) -> None:
    rig = Rig(tmp_path, mock_settings("a", port=5000))
    rounds: list[float] = []
    rig.supervision.watch(rounds.append, every_s=0.0)
    await until(lambda: len(rounds) > 1)
    await rig.supervision.stop()
