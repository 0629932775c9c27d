"""The overview in a real browser: states and reasons, slow clients, foreign text, a gateway that goes and comes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.harness import Client
from tests.support.python_can_driver import driver
from tests.support.slcan_port import SlcanPort
from tests.web.browser import PHONE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from tests.web.browser import Gateway, Visitor

    StartGateway = Callable[..., Gateway]
    Visit = Callable[..., Visitor]

MOCK = '[bus.powertrain]\ninterface = "mock"\nstart = "always"\nbackground = 100\n'
ABSENT = '[bus.body]\ninterface = "slcan"\nchannel = "/dev/no-such-adapter"\n'
FLOOD = '[bus.chassis]\ninterface = "mock"\nchannel = "flood"\npattern = "numbered"\nstart = "always"\nrate = 3000\n'
SCRIPT = "<img src=x onerror=document.title=1><script>document.title=1</script>"


def card(page: Page, bus: str) -> Locator:
    heading = page.get_by_role("heading", name=bus, exact=True)
    return page.locator(".card").filter(has=heading)


def test_every_bus_with_state_reason_and_remedy(gateway: StartGateway, visit: Visit) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        failing = f'[bus.trailer]\ninterface = "mock"\nchannel = "t"\nlisten = ["127.0.0.1"]\nport = {taken.getsockname()[1]}\n'
        off = '[bus.spare]\ninterface = "mock"\nchannel = "s"\nenabled = false\n'
        visitor = visit(gateway(MOCK + ABSENT + failing + off))
        page = visitor.open()
        for bus, state in (
            ("powertrain", "running"),
            ("body", "waiting"),
            ("trailer", "failed"),
            ("spare", "disabled"),
        ):
            expect(card(page, bus).locator(".state")).to_contain_text(state)
        expect(card(page, "powertrain").locator(".figures")).not_to_contain_text("0 frames/s")
        attention = page.get_by_role("list", name="Needs attention")
        expect(attention).to_contain_text("body waits for its adapter")
        expect(attention).to_contain_text(
            "/dev/no-such-adapter does not exist.Plug the adapter in, or correct channel."
        )
        expect(attention).to_contain_text("trailer has failed")
        expect(page.get_by_role("list", name="Events")).to_contain_text("powertrain")
        visitor.assert_accessible()


def test_unplugging_and_plugging_in_are_shown(gateway: StartGateway, visit: Visit, tmp_path: Path) -> None:
    with SlcanPort(tmp_path / "tty") as port:
        visitor = visit(gateway(f'[bus.body]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\n'))
        page = visitor.open()
        state = card(page, "body").locator(".state")
        expect(state).to_contain_text("running")
        port.unplug()
        expect(state).to_contain_text("waiting")
        expect(page.get_by_role("list", name="Needs attention")).to_contain_text("body waits for its adapter")
        port.plug()
        expect(state).to_contain_text("running")
        expect(page.get_by_role("list", name="Needs attention")).not_to_contain_text(
            "body waits for its adapter"
        )


def test_a_client_that_reads_too_slowly_is_named(gateway: StartGateway, visit: Visit) -> None:
    running = gateway(FLOOD + "client_backlog = 65536\n")
    slow = Client(running.wait_port("chassis"), reads=False)
    address = f"127.0.0.1:{slow.socket.getsockname()[1]}"
    visitor = visit(running)
    page = visitor.open()
    attention = page.get_by_role("list", name="Needs attention")
    expect(attention).to_contain_text(f"{address} reads too slowly")
    expect(card(page, "chassis")).to_contain_text("1, 1 slow")
    attention.get_by_role("link", name="chassis").click()
    row = page.get_by_role("row", name=address)
    expect(row).to_contain_text("! too slow")
    visitor.assert_accessible()


def test_script_text_of_a_driver_is_text(gateway: StartGateway, visit: Visit, tmp_path: Path) -> None:
    with driver(tmp_path, f"raise OSError(7, {SCRIPT!r})"):
        visitor = visit(gateway(f'[bus.a]\ninterface = "own"\nchannel = "{SCRIPT}"\n'))
        page = visitor.open()
        expect(page.get_by_role("list", name="Needs attention")).to_contain_text(
            "<script>document.title=1</script>"
        )
        expect(card(page, "a").locator(".card-adapter")).to_contain_text(SCRIPT)
        expect(page.get_by_role("list", name="Events")).to_contain_text("<img src=x onerror")
        page.get_by_role("link", name="a", exact=True).first.click()
        expect(page.locator(".summary")).to_contain_text(SCRIPT)
        assert page.locator("img, main script").count() == 0
        assert page.title() != "1"


def test_a_gateway_that_goes_and_comes_is_said_and_found_again(gateway: StartGateway, visit: Visit) -> None:
    running = gateway(MOCK)
    visitor = visit(running)
    page = visitor.open()
    link = page.locator("#link")
    expect(link).to_have_text("Live")
    running.stop()
    expect(page.get_by_role("alert")).to_contain_text("No connection to the gateway since")
    expect(link).to_have_text("Offline")
    expect(card(page, "powertrain")).to_be_visible()
    running.start()
    expect(link).to_have_text("Live")
    expect(page.get_by_role("alert")).to_have_text("")
    expect(card(page, "powertrain").locator(".state")).to_contain_text("running")


def test_a_browser_that_is_offline_comes_back_by_itself(gateway: StartGateway, visit: Visit) -> None:
    visitor = visit(gateway(MOCK))
    page = visitor.open("powertrain")
    expect(page.locator(".frames tbody tr").first).to_be_visible()
    visitor.context.set_offline(offline=True)
    expect(page.locator("#link")).to_have_text("Offline")
    visitor.context.set_offline(offline=False)
    expect(page.locator("#link")).to_have_text("Live")
    count = page.locator(".frames tbody tr").first.locator("td").nth(1)
    before = count.inner_text()
    expect(count).not_to_have_text(before)


def test_a_bus_that_is_added_appears_and_one_that_is_removed_goes(
    gateway: StartGateway, visit: Visit
) -> None:
    running = gateway(ABSENT)
    visitor = visit(running)
    page = visitor.open("body")
    running.write(MOCK)
    assert running.ctl("reload").returncode == 0
    expect(page.get_by_role("heading", name="There is no bus body")).to_be_visible()
    page.get_by_role("link", name="All buses").first.click()
    expect(card(page, "powertrain")).to_be_visible()
    expect(card(page, "body")).to_have_count(0)


def test_a_gateway_without_buses_says_what_to_do(gateway: StartGateway, visit: Visit) -> None:
    visitor = visit(gateway(""))
    page = visitor.open()
    expect(page.get_by_role("heading", name="No bus is configured yet")).to_be_visible()
    visitor.assert_accessible()


def test_keyboard(gateway: StartGateway, visit: Visit) -> None:
    visitor = visit(gateway(MOCK))
    page = visitor.open()
    expect(card(page, "powertrain")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    link = card(page, "powertrain").get_by_role("link")
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("powertrain")
    expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(gateway: StartGateway, visit: Visit, scheme: str) -> None:
    visitor = visit(gateway(MOCK + ABSENT), size=PHONE, color_scheme=scheme, has_touch=True)
    page = visitor.open()
    expect(card(page, "body").locator(".state")).to_contain_text("waiting")
    visitor.assert_fits()
    visitor.assert_accessible()
    card(page, "powertrain").get_by_role("link").tap()
    expect(page.locator(".frames tbody tr").first).to_be_attached()
    visitor.assert_fits()
    visitor.assert_accessible()
