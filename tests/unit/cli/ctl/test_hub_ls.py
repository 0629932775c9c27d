"""The table of `hub ls` in windows of any width."""

from __future__ import annotations

import pytest

from cancorderd.cli.ctl.hub_ls import as_json, bus_table, fitted_lines
from cancorderd.hub.headers import Losses
from cancorderd.hub.overview import BusAtHub

NOW_S = 1_764_150_000.0
BUSES = [
    BusAtHub("truck-17", "powertrain", int(NOW_S * 1e6), int(NOW_S * 1e6), 9009.0, Losses(kernel=12345, spool=678)),
    BusAtHub("a" * 30, "b" * 32, int(NOW_S * 1e6), int(NOW_S * 1e6), 1.0, Losses()),
]  # fmt: skip


def texts(width: int) -> list[str]:
    return ["".join(text for text, _ in line) for line in fitted_lines(bus_table(BUSES, NOW_S), width)]


@pytest.mark.parametrize("width", [200, 120, 100, 90])
def test_lines_are_no_wider_than_the_window(width: int) -> None:
    lines = texts(width)
    assert max(map(len, lines)) <= width
    assert sum("powertrain" in line for line in lines) >= 1
    assert any("kernel 12345, spool 678" in line for line in lines)


@pytest.mark.parametrize(("stored_before_s", "rate"), [(1, 9009.0), (19, 9009.0), (21, 0.0)])
def test_bus_has_a_rate_while_the_hub_stores_its_frames(stored_before_s: float, rate: float) -> None:
    """Whatever the clock of its gateway says."""
    stamp_us = int((NOW_S - 31_536_000) * 1e6)
    bus = BusAtHub("truck-17", "body", stamp_us, int((NOW_S - stored_before_s) * 1e6), 9009.0, Losses())
    assert bus_table([bus], NOW_S).rows[0][3] == f"{rate:.0f}"
    assert as_json(bus, NOW_S)["frames_per_second"] == rate


@pytest.mark.parametrize(
    ("ahead_s", "reason"),
    [
        (9, "lost: spool 3"),
        (7200, "its stamps are 2h00m ahead of the hub: correct the clock of the gateway; lost: spool 3"),
    ],
)
def test_clock_of_a_gateway_that_is_ahead_is_named(ahead_s: int, reason: str) -> None:
    bus = BusAtHub(
        "truck-17", "body", int((NOW_S + ahead_s) * 1e6), int(NOW_S * 1e6), 9009.0, Losses(spool=3)
    )
    assert bus_table([bus], NOW_S).rows[0][-1] == reason


def test_wide_window_has_the_reasons_in_the_rows() -> None:
    header, first, second = texts(200)
    assert header.split()[-1] == "WHY"
    assert first.endswith("lost: kernel 12345, spool 678")
    assert "b" * 32 in second


def test_narrow_window_has_the_reasons_below_and_names_what_it_omits() -> None:
    header, *_, reason, omitted = texts(80)
    assert "WHY" not in header
    assert {"GATEWAY", "BUS", "LOST"} <= set(header.split())
    assert reason == "truck-17/powertrain: lost: kernel 12345, spool 678"
    assert omitted == "Too narrow for LAG, FRAMES/S, LAST FRAME."
