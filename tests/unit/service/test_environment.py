"""Variables of the service manager: senseless values are ignored, each with a warning."""

from __future__ import annotations

import pytest

from cancorderd.service.environment import inherited_descriptors, watchdog_interval_s

PID = 7


@pytest.mark.parametrize(
    ("environment", "interval_s", "warnings"),
    [
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "7"}, 10.0, 0),
        ({"WATCHDOG_USEC": "10000000"}, 10.0, 0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "8"}, None, 0),
        ({"WATCHDOG_USEC": "0", "WATCHDOG_PID": "7"}, None, 0),
        ({}, None, 0),
        ({"WATCHDOG_USEC": "soon"}, None, 1),
        ({"WATCHDOG_USEC": ""}, None, 1),
        ({"WATCHDOG_USEC": "-1"}, None, 1),
        ({"WATCHDOG_USEC": "1e7"}, None, 1),
        ({"WATCHDOG_USEC": "1"}, None, 1),
        ({"WATCHDOG_USEC": "\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663"}, None, 1),
        ({"WATCHDOG_USEC": "9" * 5000}, None, 1),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "me"}, None, 1),
        ({"WATCHDOG_USEC": "\udc9b\x1b[2J"}, None, 1),
    ],
)
def test_watchdog_interval(environment: dict[str, str], interval_s: float | None, warnings: int) -> None:
    told: list[str] = []
    assert watchdog_interval_s(environment, PID, told.append) == interval_s
    assert len(told) == warnings
    assert all(text.isprintable() and len(text) < 200 for text in told)


@pytest.mark.parametrize(
    ("environment", "names", "warnings"),
    [
        ({}, [], 0),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "7", "LISTEN_FDNAMES": "a:b.kept"}, ["a", "b.kept"], 0),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "7"}, ["unknown", "unknown"], 0),
        ({"LISTEN_FDS": "0", "LISTEN_PID": "7"}, [], 0),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "8"}, [], 0),
        ({"LISTEN_FDS": "2"}, [], 0),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "7", "LISTEN_FDNAMES": "a"}, ["unknown", "unknown"], 1),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "7", "LISTEN_FDNAMES": "\x1b[2J"}, ["?[2J"], 0),
        ({"LISTEN_FDS": "many", "LISTEN_PID": "7"}, [], 1),
        ({"LISTEN_FDS": "", "LISTEN_PID": "7"}, [], 1),
        ({"LISTEN_FDS": "-3", "LISTEN_PID": "7"}, [], 1),
        ({"LISTEN_FDS": "3", "LISTEN_PID": "7"}, [], 1),
        ({"LISTEN_FDS": "9" * 17, "LISTEN_PID": "7"}, [], 1),
        ({"LISTEN_FDS": "9" * 5000, "LISTEN_PID": "7"}, [], 1),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "none"}, [], 1),
    ],
)
def test_inherited_descriptors(environment: dict[str, str], names: list[str], warnings: int) -> None:
    told: list[str] = []
    found = inherited_descriptors(environment, PID, lambda descriptor: descriptor in (3, 4), told.append)
    assert found == list(zip(range(3, 3 + len(names)), names, strict=True))
    assert len(told) == warnings
    assert all(text.isprintable() and len(text) < 200 for text in told)
