"""A bus whose adapter refuses its settings, and runs when the adapter is plugged in again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.slcan_thread import SlcanAdapter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Daemon


def test_failed_bus_runs_when_its_adapter_is_plugged_in_again(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated:
        obey = emulated.adapter.answer

        def refuse_bitrate(command: str) -> bytes:
            return b"\a" if command[:1] == "S" else obey(command)

        emulated.adapter.answer = refuse_bitrate  # type: ignore[method-assign]
        running = daemon(f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\n')
        failed = running.wait_state("a", "failed")
        assert "refuses S6 (bitrate)" in failed["reason"]
        emulated.command("unplug")
        emulated.adapter.answer = obey  # type: ignore[method-assign]
        emulated.command("plug")
        assert running.wait_state("a", "running")["reason"] == ""
