"""How much memory there is for backlogs, and how it is shared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cancorderd.supervisor import backlog_shares
from cancorderd.supervisor.manager import Manager
from cancorderd.supervisor.state_machine import Event
from tests.unit.supervisor.fakes import (
    FakeKeeper,
    ObedientWorker,
    Workers,
    configuration,
    in_event_loop,
    mock_settings,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cancorderd.config.configuration import Configuration

MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


CGROUPS = {
    "no cgroups": ({}, MEMORY),
    "no limit": ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, MEMORY),
    "of the unit": ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n"}, 1000),
    "of its slice": ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "1000\n"}, 1000),
    "the smallest": (
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/memory.max": "1000\n",
            "sys/fs/cgroup/a/b/memory.max": "3000\n",
            "sys/fs/cgroup/a/b/memory.high": "2000\n",
        },
        1000,
    ),
    "of memory.high": ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.high": "7\n"}, 7),
    "of a container": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n"}, 1000),
    "of a container seen from outside": (
        {"proc/self/cgroup": "0::/../../docker/x\n", "sys/fs/cgroup/memory.max": "1000\n"}, 1000,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "5:cpu:/c\n4:memory:/docker/x\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n",
        },
        1000,
    ),
    "version 1, no limit": (
        {
            "proc/self/cgroup": "4:memory:/x\n",
            "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
        },
        MEMORY,
    ),
    "more than the machine has": (
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "999999999999999\n"}, MEMORY,
    ),
    "nonsense": ({"proc/self/cgroup": "nonsense\n::\n0::\n", "sys/fs/cgroup/memory.max": "-1"}, MEMORY),
}  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), CGROUPS.values(), ids=CGROUPS)
def test_memory_is_the_machines_or_the_cgroups(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert backlog_shares.memory(write(tmp_path, files)) == expected


def test_an_eighth_of_the_memory_by_default() -> None:
    assert backlog_shares.total(None) == backlog_shares.memory() // 8
    assert backlog_shares.total(1 << 20) == 1 << 20


def test_no_bus_divides_by_nothing() -> None:
    assert backlog_shares.share(1000, 0) == 1000
    assert backlog_shares.share(1000, 3) == 333


class Stage:
    """A manager whose workers note their shares."""

    def __init__(self, folder: Path, total: int, **enabled: bool) -> None:
        self.folder = folder
        self.workers = Workers(ObedientWorker)
        self.manager = Manager(
            self.configuration(total, **enabled), None, lambda _bus: None, keeper=FakeKeeper(), new_worker=self.workers
        )  # fmt: skip
        self.manager.start()

    def configuration(self, total: int, **enabled: bool) -> Configuration:
        buses = [mock_settings(name, enabled=on, port=5000 + ord(name)) for name, on in enabled.items()]
        return configuration(self.folder, *buses, backlog_total=total)

    def shares(self) -> dict[str, list[int | None]]:
        """By bus: the share with which its worker was started, and each that followed."""
        return {
            worker.bus: [worker.first_message and worker.first_message.backlog_share, *worker.backlog_shares]
            for worker in self.workers.made
        }


MIB = 1 << 20


@in_event_loop
async def test_enabled_buses_share_equally_and_from_the_start(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 6 * MIB, a=True, b=True, c=False)
    assert stage.shares() == {"a": [3 * MIB], "b": [3 * MIB]}
    await stage.manager.stop()


@in_event_loop
async def test_shares_follow_a_reload_without_a_restart(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 6 * MIB, a=True, b=True)
    await stage.manager.reload(stage.configuration(6 * MIB, a=True, b=True, c=True))
    assert stage.shares() == {"a": [3 * MIB, 2 * MIB], "b": [3 * MIB, 2 * MIB], "c": [2 * MIB]}
    await stage.manager.reload(stage.configuration(12 * MIB, a=True, b=True, c=True))
    assert stage.shares()["a"] == [3 * MIB, 2 * MIB, 4 * MIB]
    assert stage.manager.needs_restart(stage.configuration(3 * MIB, a=True)) == []
    await stage.manager.reload(stage.configuration(12 * MIB, a=True))
    assert stage.shares()["a"][-1] == 12 * MIB
    assert len(stage.workers.made) == 3
    await stage.manager.stop()


@in_event_loop
async def test_disabled_bus_that_was_started_by_hand_has_its_share(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 6 * MIB, a=True, b=False)
    assert stage.shares() == {"a": [6 * MIB]}
    await stage.manager.control("b", Event.START)
    assert {bus: shares[-1] for bus, shares in stage.shares().items()} == {"a": 3 * MIB, "b": 3 * MIB}
    await stage.manager.control("b", Event.STOP)
    assert stage.shares()["a"] == [6 * MIB, 3 * MIB, 6 * MIB]
    await stage.manager.stop()


@in_event_loop
async def test_enabled_bus_that_was_stopped_by_hand_keeps_its_share(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 6 * MIB, a=True, b=True)
    await stage.manager.control("b", Event.STOP)
    assert stage.shares()["a"] == [3 * MIB]
    await stage.manager.stop()
