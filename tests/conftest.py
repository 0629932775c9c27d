from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness import Client, Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[[str], Daemon]]:
    """Starts a daemon with these buses; ends it with the test."""
    started: list[Daemon] = []

    def start(buses: str) -> Daemon:
        one = Daemon(tmp_path, buses)
        started.append(one)
        return one.start()

    yield start
    Client.close_all()
    for one in started:
        one.__exit__()
