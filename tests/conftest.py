from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.harness import Client, Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

collect_ignore = [] if importlib.util.find_spec("playwright") else ["web"]
"""Folders whose libraries `tests/run` installs for them alone."""

# On a busy machine, examples take longer than Hypothesis expects; that is no failure. Examples are the same in each run,
# so that a change meets the examples that it was tried with; CANCORDER_EXAMPLES, as in the long form of a drill
# (tests/faults/parsers.py), asks for that many new ones.
_EXAMPLES = os.environ.get("CANCORDER_EXAMPLES")
settings.register_profile(
    "busy machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=int(_EXAMPLES or "100"),
    derandomize=_EXAMPLES is None,
    print_blob=True,
)
settings.load_profile("busy machine")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[[str], Daemon]]:
    """Return a function that starts a daemon with the given buses; the daemon ends with the test."""
    started: list[Daemon] = []

    def start(buses: str) -> Daemon:
        daemon = Daemon(tmp_path, buses)
        started.append(daemon)
        return daemon.start()

    yield start
    Client.close_all()
    for daemon in started:
        daemon.__exit__()
