"""A real browser, Debian's Chromium without a screen, and the page of a real daemon in it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from tests.support.harness import PATIENCE_S, Daemon, free_port, poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

PATIENCE_MS = PATIENCE_S * 1000
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
DESKTOP, PHONE = (1280, 900), (390, 844)
OF_THE_BROWSER = re.compile(
    r"WebSocket connection to .* failed|ERR_(CONNECTION|INTERNET|EMPTY|SOCKET)|responded with a status of 422"
)
"""What Chromium itself reports while the gateway is away, and of a configuration with mistakes."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    assert CHROMIUM, "no Chromium. Install it: apt-get install chromium"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-dev-shm-usage"],  # as root and in small containers
            timeout=PATIENCE_MS,
        )
        try:
            yield browser
        finally:
            browser.close()


class Gateway(Daemon):
    """A daemon with a page; `keys` are further keys of [web]."""

    def __init__(self, folder: Path, buses: str, keys: str = "") -> None:
        self.port = free_port()
        self._keys = keys
        super().__init__(folder, buses)

    def write(self, buses: str) -> None:
        super().write(f"[web]\nport = {self.port}\n{self._keys}\n{buses}")

    def start(self) -> Self:
        super().start()
        poll(self._serves, what="the page's port")
        return self

    def _serves(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Visitor:
    """A browser's window at the page; `faults` are errors of its scripts, and requests to other places."""

    def __init__(
        self, browser: Browser, gateway: Gateway, size: tuple[int, int] = DESKTOP, **settings: object
    ) -> None:
        self.gateway = gateway
        self.context: BrowserContext = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce", **settings
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.faults: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda message: self._log(message.type, message.text))
        self.page.on("request", lambda request: self._check(request.url))
        self.page.on("websocket", lambda socket: self._check(socket.url))

    def _log(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not OF_THE_BROWSER.search(text):
            self.faults.append(text)

    def _check(self, url: str) -> None:
        if urlsplit(url).netloc != urlsplit(self.gateway.address).netloc:
            self.faults.append(f"a request to {url}")

    def open(self, bus: str = "") -> Page:
        """Open the overview, or a bus, and wait until the page has heard of the gateway."""
        self.page.goto(f"{self.gateway.address}/{f'#/bus/{bus}' if bus else ''}")
        expect(self.page.get_by_role("heading", level=1)).to_have_text(bus or "Buses")
        return self.page

    def assert_accessible(self) -> None:
        """Check what axe-core finds in the page as it is."""
        results = Axe().run(self.page)
        assert results.violations_count == 0, results.generate_report()

    def assert_fits(self) -> None:
        """Check that nothing is wider than the window."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"the page is {wide} pixels too wide"

    def close(self) -> None:
        self.context.close()
        assert not self.faults, self.faults
