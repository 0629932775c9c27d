"""The selector that lets what is ready wait for the next timer."""

from __future__ import annotations

import selectors
import socket
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.forwarder.held_selector import HeldSelector

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def ready() -> Iterator[HeldSelector]:
    """Yield a selector with a socket that is readable."""
    ours, theirs = socket.socketpair()
    with ours, theirs, HeldSelector() as selector:
        selector.register(ours, selectors.EVENT_READ)
        theirs.send(b"x")
        yield selector


def test_what_is_ready_waits_for_the_next_timer(ready: HeldSelector, slept: list[float]) -> None:
    ready.held = True
    assert len(ready.select(0.0093)) == 1
    assert slept == [0.01]


@pytest.mark.parametrize("timeout", [None, 0, -1, 0.2])
def test_without_a_timer_soon_nothing_waits(
    ready: HeldSelector, slept: list[float], timeout: float | None
) -> None:
    ready.held = True
    assert len(ready.select(timeout)) == 1
    assert slept == []


def test_nothing_waits_unless_held(ready: HeldSelector, slept: list[float]) -> None:
    assert len(ready.select(0.01)) == 1
    assert slept == []
