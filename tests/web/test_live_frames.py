"""Live frames in a real browser: rows, marks, filter, pause, signals, the search for what changes."""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.harness import ROOT, poll
from tests.support.slcan_port import SlcanPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from tests.web.browser import Gateway, Visitor

    StartGateway = Callable[..., Gateway]
    Visit = Callable[..., Visitor]

MOCK = '[bus.powertrain]\ninterface = "mock"\nstart = "always"\nbackground = 100\ndatabase = "mock.dbc"\n'


@pytest.fixture
def port(tmp_path: Path) -> Iterator[SlcanPort]:
    with SlcanPort(tmp_path / "tty") as port:
        yield port


def open_bus(gateway: StartGateway, visit: Visit, port: SlcanPort, tmp_path: Path, keys: str = "") -> Page:
    running = gateway(f'[bus.body]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\n{keys}')
    running.wait_state("body", "running")
    assert port.opened.is_set()
    page = visit(running).open("body")
    expect(page.locator(".live")).to_contain_text("No frame has arrived yet.")
    poll(lambda: running.bus("body")["readers"]["connected"] == 1, what="the page reads frames")
    return page


def row(page: Page, key: str) -> Locator:
    return page.locator(f'.frames tr[data-key="{key}"]')


def test_last_payload_count_and_changed_bytes(
    gateway: StartGateway, visit: Visit, port: SlcanPort, tmp_path: Path
) -> None:
    page = open_bus(gateway, visit, port, tmp_path)
    port.write(b"t12321122\rT18DAF110400112233\rr0104\r")
    expect(row(page, "123").locator(".payload")).to_have_text("11 22")
    expect(row(page, "18DAF110").locator(".payload")).to_have_text("00 11 22 33")
    expect(row(page, "010R")).to_contain_text("remote")
    assert page.locator(".frames tbody tr").evaluate_all("rows => rows.map((row) => row.dataset.key)") == [
        "010R",
        "123",
        "18DAF110",
    ]
    # The mark goes after a while, so the page's own clock of animation is not raced: each look brings another change.
    payloads = iter(range(1, 1 << 16))

    def marked() -> bool:
        port.write(b"t123211%02X\r" % (next(payloads) % 256))
        page.wait_for_function("() => true", polling=50)
        found = row(page, "123").locator(".byte").evaluate_all("bytes => bytes.map((byte) => byte.className)")
        return bool(found == ["byte", "byte changed"])

    poll(marked, what="the mark of the second byte")
    expect(row(page, "123").locator("td").nth(1)).not_to_have_text("1")


def test_an_id_that_is_not_seen_any_more_fades_and_says_so(
    gateway: StartGateway, visit: Visit, port: SlcanPort, tmp_path: Path
) -> None:
    page = open_bus(gateway, visit, port, tmp_path)
    port.write(b"t12321122\r")
    expect(row(page, "123")).to_have_attribute("data-stale", "")
    expect(row(page, "123")).to_contain_text("silent")
    port.write(b"t12321123\r")
    expect(row(page, "123").locator(".payload")).to_have_text("11 23")
    expect(page.get_by_role("list", name="Needs attention")).to_contain_text("is silent")


def test_filter(gateway: StartGateway, visit: Visit, port: SlcanPort, tmp_path: Path) -> None:
    page = open_bus(gateway, visit, port, tmp_path)
    port.write(b"t1230\rt1240\rt7E80\rT000001230\r")
    rows = page.locator(".frames tbody tr")
    expect(rows).to_have_count(4)
    search = page.get_by_role("searchbox")

    def shown_are(keys: list[str]) -> bool:
        return bool(rows.evaluate_all("rows => rows.map((row) => row.dataset.key)") == keys)

    for text, keys in {
        "7e": ["7E8"],
        "0x123": ["123", "00000123"],
        "124-7FF": ["124", "7E8"],
        "7E8, 124": ["124", "7E8"],
        "zzz": [],
        "": ["123", "124", "7E8", "00000123"],
    }.items():
        search.fill(text)
        poll(partial(shown_are, keys), what=f"the ids {keys} for {text!r}")
    search.fill("zzz")
    expect(page.locator(".live")).to_contain_text("No id passes the filter.")


def test_pause_holds_the_moment(gateway: StartGateway, visit: Visit, port: SlcanPort, tmp_path: Path) -> None:
    page = open_bus(gateway, visit, port, tmp_path)
    port.write(b"t123101\r")
    expect(row(page, "123").locator(".payload")).to_have_text("01")
    page.get_by_role("button", name="Pause").click()
    port.write(b"t123102\r")
    # The event of the next status is later than the frame: the page has had time to show it.
    received = page.locator(".health div", has_text="Frames received").locator("dd")
    expect(received).to_have_text("2")
    expect(row(page, "123").locator(".payload")).to_have_text("01")
    expect(page.locator(".live")).to_contain_text("Paused.")
    page.get_by_role("button", name="Continue").click()
    expect(row(page, "123").locator(".payload")).to_have_text("02")
    expect(row(page, "123").locator("td").nth(1)).to_have_text("2")


def test_the_id_that_changes_when_a_button_is_pressed_is_found(
    gateway: StartGateway, visit: Visit, port: SlcanPort, tmp_path: Path
) -> None:
    page = open_bus(gateway, visit, port, tmp_path)
    for counter in range(16):
        port.write(b"t10020%X00\rt2002FFFF\r" % counter)
    expect(row(page, "100").locator("td").nth(1)).to_have_text("16")
    page.get_by_role("button", name="Find what changes").click()
    expect(page.locator(".live")).to_contain_text("Nothing new has changed yet.")
    port.write(b"t10020500\rt2002FBFF\rt2002FFFF\r")
    expect(row(page, "200").locator(".byte").first).to_have_class("byte new")
    expect(page.locator(".frames tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Start over").click()
    expect(page.locator(".frames tbody tr")).to_have_count(0)
    page.get_by_role("button", name="Show all ids").click()
    expect(page.locator(".frames tbody tr")).to_have_count(2)


def test_signals_and_the_chart_of_one(gateway: StartGateway, visit: Visit, tmp_path: Path) -> None:
    shutil.copy(ROOT / "contrib/mock.dbc", tmp_path)
    visitor = visit(gateway(MOCK))
    page = visitor.open("powertrain")
    page.get_by_role("heading", name="Live frames").scroll_into_view_if_needed()
    page.get_by_role("searchbox").fill("EngineSpeed")
    signal = row(page, "0A8").get_by_role("button", name="EngineSpeed")
    expect(signal).to_contain_text("rpm")
    # The background may have the id of the database's other message with this signal.
    rows = page.locator(".frames tbody tr")
    expect(rows.filter(has_not_text="EngineSpeed")).to_have_count(0)
    assert rows.count() <= 2
    expect(row(page, "0A8").get_by_role("rowheader")).to_contain_text("Powertrain")
    signal.click()
    expect(page.get_by_role("heading", name="EngineSpeed")).to_be_focused()
    expect(page.get_by_role("img", name="EngineSpeed over time").locator("canvas")).to_be_visible()
    expect(page.locator(".signal-now")).to_contain_text("rpm")
    visitor.assert_accessible()
    page.get_by_role("button", name="Close chart").click()
    expect(page.locator(".signal-chart")).to_be_hidden()
    expect(signal).to_be_focused()


def test_a_filter_by_signal_finds_an_id_that_comes_later(
    gateway: StartGateway, visit: Visit, port: SlcanPort, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "contrib/mock.dbc", tmp_path)
    page = open_bus(gateway, visit, port, tmp_path, 'database = "mock.dbc"\n')
    page.get_by_role("searchbox").fill("EngineSpeed")
    port.write(b"t123101\r")
    expect(page.locator(".live")).to_contain_text("No id passes the filter.")
    port.write(b"t0A880000000000000000\r")
    expect(row(page, "0A8").get_by_role("button", name="EngineSpeed")).to_contain_text("rpm")


def test_a_database_that_cannot_be_read_costs_the_signals_alone(gateway: StartGateway, visit: Visit) -> None:
    page = visit(gateway(MOCK)).open("powertrain")
    page.locator(".frames tbody tr").first.scroll_into_view_if_needed()
    expect(page.locator(".problem")).to_contain_text("mock.dbc: No such file or directory. Correct the name")
    expect(page.locator(".frames tbody tr").first).to_be_visible()


def test_a_hidden_tab_and_another_view_let_go_of_the_frames(gateway: StartGateway, visit: Visit) -> None:
    running = gateway('[bus.powertrain]\ninterface = "mock"\nstart = "always"\nbackground = 100\n')
    page = visit(running).open("powertrain")

    def readers() -> int:
        return int(running.bus("powertrain")["readers"]["connected"])

    poll(lambda: readers() == 1, what="the page reads frames")
    hide = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    poll(lambda: readers() == 0, what="the hidden page has let go")
    page.evaluate(hide, False)
    poll(lambda: readers() == 1, what="the page reads frames again")
    assert running.bus("powertrain")["clients"] == []
    page.get_by_role("link", name="All buses").click()
    poll(lambda: readers() == 0, what="the overview reads no frames")


def test_chart_of_traffic_has_the_time_before_the_page_was_opened(
    gateway: StartGateway, visit: Visit
) -> None:
    running = gateway('[bus.powertrain]\ninterface = "mock"\nstart = "always"\nbackground = 100\n')
    visitor = visit(running)
    received: list[dict[str, object]] = []

    def take(payload: str | bytes) -> None:
        message = json.loads(payload)
        if message["kind"] in ("history", "sparklines"):
            received.append(message)

    visitor.page.on("websocket", lambda socket: socket.on("framereceived", take))
    page = visitor.open("powertrain")
    expect(page.get_by_role("img", name="Frames per second and load").locator("canvas")).to_be_visible()
    poll(
        lambda: (page.wait_for_function("() => true"), received)[1][-1:] and received[-1]["kind"] == "history"
    )
    history = received[-1]["history"]
    assert isinstance(history, dict)
    assert len(history["rate"]) == len(history["load"]) >= 1
    for label in ("1 min", "1 h"):
        page.get_by_role("button", name=label, exact=True).click()
        expect(page.get_by_role("button", name=label, exact=True)).to_have_attribute("aria-pressed", "true")
    visitor.assert_accessible()
