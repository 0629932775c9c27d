"""Fixtures of the lab tests, which are collected only in the machine of tests/lab/machine."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import avahi, interfaces, service

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore_glob = [] if "CANCORDER_LAB" in os.environ else ["test_*.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of the drills")


@pytest.fixture
def vcan0() -> Iterator[str]:
    """Create a CAN FD interface that is up, for a test."""
    with interfaces.vcan("vcan0"):
        yield "vcan0"


@pytest.fixture(scope="module")
def vcans() -> Iterator[list[str]]:
    """Create three such interfaces, for all tests of a module."""
    names = ["vcan0", "vcan1", "vcan2"]
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(interfaces.vcan(name))
        yield names


@pytest.fixture
def fresh_avahi() -> None:
    """Clear the records of earlier tests from avahi."""
    avahi.forget()


@pytest.fixture(scope="session")
def installed() -> None:
    """Install the service as the package does, without a start."""
    service.install()
