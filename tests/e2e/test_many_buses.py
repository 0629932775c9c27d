"""Many buses that start at once, on a machine whose processors they fill for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.harness import Client, poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Daemon

BUSES = 200
"""Two cores start them in some 30 s."""
START_WITHIN_S = 300


def test_buses_that_start_at_once_all_run_and_none_is_restarted(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(
        "".join(f'[bus.m{number}]\ninterface = "mock"\nlisten = ["127.0.0.1"]\n' for number in range(BUSES))
    )

    def buses() -> list[dict[str, Any]]:
        return list(running.status()["buses"])

    poll(lambda: all(bus["state"] == "running" for bus in buses()), START_WITHIN_S, "all run")
    assert len(buses()) == BUSES
    assert [bus["name"] for bus in buses() if bus["restarts"] or bus["last_error"]] == []
    assert "no heartbeat" not in running.log.read_text()
    assert running.ctl("status").returncode == 0
    with Client(buses()[-1]["port"]) as client:  # its client starts the simulation
        client.wait_frames(5)
    assert running.stop() == 0
