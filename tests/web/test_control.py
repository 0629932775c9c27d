"""Buttons that change something: only where the gateway allows it, and with what they would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from cancorderd.web import password

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.web.browser import Gateway, Visitor

    StartGateway = Callable[..., Gateway]
    Visit = Callable[..., Visitor]

MOCK = '[bus.powertrain]\ninterface = "mock"\n'
OTHER = '[bus.chassis]\ninterface = "mock"\nchannel = "other"\n'
WORD = "correct horse"


def controlled(tmp_path: Path, gateway: StartGateway, visit: Visit) -> tuple[Gateway, Visitor]:
    file = tmp_path / "password"
    file.write_text(password.line_of(WORD, bytes(password.SALT_BYTES)) + "\n")
    running = gateway(MOCK, f'control = true\npassword_file = "{file}"')
    return running, visit(running, http_credentials={"username": "bench", "password": WORD})


def test_without_control_there_are_no_buttons(gateway: StartGateway, visit: Visit) -> None:
    page = visit(gateway(MOCK)).open("powertrain")
    expect(page.locator(".frames")).to_be_attached()
    for name in ("Restart", "Stop", "Start", "Reload configuration"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)


def test_stop_asks_first_and_start_brings_the_bus_back(
    tmp_path: Path, gateway: StartGateway, visit: Visit
) -> None:
    running, visitor = controlled(tmp_path, gateway, visit)
    page = visitor.open("powertrain")
    page.get_by_role("button", name="Stop").click()
    dialog = page.get_by_role("dialog", name="Stop powertrain?")
    expect(dialog).to_contain_text("Its clients are disconnected")
    visitor.assert_accessible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert running.bus("powertrain")["state"] != "stopped"
    page.get_by_role("button", name="Stop").click()
    dialog.get_by_role("button", name="Stop").click()
    expect(page.locator(".title .state")).to_contain_text("stopped")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".title .state")).to_contain_text("running")
    page.get_by_role("button", name="Restart").click()
    expect(page.locator(".outcome")).to_have_text("restart: done")


def test_reload_shows_what_would_change_before_it_does(
    tmp_path: Path, gateway: StartGateway, visit: Visit
) -> None:
    running, visitor = controlled(tmp_path, gateway, visit)
    page = visitor.open()
    button = page.get_by_role("button", name="Reload configuration")
    running.write(MOCK + OTHER)
    button.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("chassis is added")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert len(running.status()["buses"]) == 1
    button.click()
    dialog.get_by_role("button", name="Reload").click()
    expect(page.get_by_role("heading", name="chassis")).to_be_visible()
    running.write(MOCK + "bitrate = -5\n")
    button.click()
    expect(dialog).to_contain_text("-5 is not above 0. Use a rate such as 500000 (bit/s).")
    dialog.get_by_role("button", name="Close").click()
