"""Draw the pictures of the status page for README and guide: `tests/run web pictures`.

A gateway with a vehicle's buses runs for ten minutes, so that the pictures have what a person sees on a good and a bad day.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.support.harness import ROOT, Client
from tests.web.browser import DESKTOP, PHONE, Gateway, Visitor, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = ROOT / "contrib/guide/web"
TRAFFIC_MS = 600_000
"""Time for which frames flow before the pictures, so that charts have something to show."""
LARGEST = 200_000
BUSES = """[bus.powertrain]
interface = "mock"
channel = "vehicle"
start = "always"
background = 500
database = "mock.dbc"
record = { format = "blf" }
[bus.chassis]
interface = "mock"
channel = "chassis"
start = "always"
pattern = "numbered"
rate = 2400
client_backlog = 65536
[bus.body]
interface = "slcan"
channel = "/dev/ttyACM0"
[bus.infotainment]
interface = "mock"
channel = "infotainment"
start = "always"
background = 120
seed = 7
[bus.trailer]
interface = "socketcan"
channel = "can1"
enabled = false
"""


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copy(ROOT / "contrib/mock.dbc", folder)
        gateway = stack.enter_context(Gateway(folder, BUSES))
        stack.callback(Client.close_all)
        Client(gateway.wait_port("powertrain"))
        Client(gateway.wait_port("infotainment"))
        browser = stack.enter_context(chromium())
        waiting = Visitor(browser, gateway)
        waiting.open().wait_for_timeout(TRAFFIC_MS)
        waiting.close()
        Client(gateway.wait_port("chassis"), reads=False)
        for scheme in ("light", "dark"):
            overview(browser, gateway, scheme)
            bus(browser, gateway, scheme)
        phone(browser, gateway)


def overview(browser: Browser, gateway: Gateway, scheme: str) -> None:
    visitor = Visitor(browser, gateway, (DESKTOP[0], 1040), color_scheme=scheme)
    page = visitor.open()
    expect(page.get_by_role("list", name="Needs attention")).to_contain_text("reads too slowly")
    picture(page, f"overview-{scheme}")
    visitor.close()


def bus(browser: Browser, gateway: Gateway, scheme: str) -> None:
    visitor = Visitor(browser, gateway, (DESKTOP[0], 1240), color_scheme=scheme)
    page = visitor.open("powertrain")
    page.get_by_role("button", name="1 min", exact=True).click()
    expect(page.get_by_role("button", name="EngineSpeed").first).to_be_visible()
    page.wait_for_timeout(3000)
    picture(page, f"bus-{scheme}")
    visitor.close()


def phone(browser: Browser, gateway: Gateway) -> None:
    visitor = Visitor(browser, gateway, PHONE, color_scheme="light")
    page = visitor.open()
    expect(page.locator(".card").first).to_be_visible()
    picture(page, "phone-overview")
    page = visitor.open("powertrain")
    page.get_by_role("heading", name="Live frames").evaluate("heading => heading.scrollIntoView()")
    page.mouse.wheel(0, -70)
    expect(page.get_by_role("button", name="EngineSpeed").first).to_be_visible()
    page.wait_for_timeout(2000)
    picture(page, "phone-bus")
    visitor.close()


def picture(page: Page, name: str) -> None:
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    size = path.stat().st_size
    assert size < LARGEST, f"{path}: {size} bytes"
    print(f"{path.relative_to(ROOT)}: {size} bytes")


if __name__ == "__main__":
    main()
