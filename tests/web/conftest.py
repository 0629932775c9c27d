from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import Client
from tests.web.browser import Gateway, Visitor, chromium

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Return a function that starts a daemon with a page; it ends with the test."""
    with contextlib.ExitStack() as stack:
        stack.callback(Client.close_all)

        def start(buses: str, keys: str = "") -> Gateway:
            found = Gateway(tmp_path, buses, keys)
            stack.enter_context(found)
            return found

        yield start


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens a window at the page of a gateway; no window may have faults at its end."""
    visitors: list[Visitor] = []

    def open_window(gateway: Gateway, **settings: object) -> Visitor:
        visitor = Visitor(browser, gateway, **settings)  # type: ignore[arg-type]
        visitors.append(visitor)
        return visitor

    yield open_window
    for visitor in visitors:
        visitor.close()
