"""What the lab tests share. They need the machine of tests/lab/machine and are not collected elsewhere."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import avahi, interfaces, service

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore_glob = [] if "CANCORDER_LAB" in os.environ else ["test_*.py"]


@pytest.fixture
def vcan0() -> Iterator[str]:
    """A CAN FD interface that is up, for one test."""
    with interfaces.vcan("vcan0"):
        yield "vcan0"


@pytest.fixture(scope="module")
def vcans() -> Iterator[list[str]]:
    """Three of them, for all tests of a module."""
    names = ["vcan0", "vcan1", "vcan2"]
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(interfaces.vcan(name))
        yield names


@pytest.fixture
def fresh_avahi() -> None:
    """avahi without the records of earlier tests."""
    avahi.forget()


@pytest.fixture(scope="session")
def installed() -> None:
    """The service, as the package installs it; not started."""
    service.install()
