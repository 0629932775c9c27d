"""Fixtures of the tests with USB, which are collected only in the machine of tests/usb/machine."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.usb.guest.plugged import Plugged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

collect_ignore_glob = [] if "CANCORDER_USB" in os.environ else ["test_*.py"]


@pytest.fixture
def plug() -> Iterator[Callable[..., Plugged]]:
    """Return a function that plugs in an emulated adapter; the adapters leave with the test."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(Plugged(*options))


@pytest.fixture
def kernel_driver() -> Iterator[None]:
    """Load the kernel's gs_usb, which takes every adapter that is plugged in during the test."""
    subprocess.run(["modprobe", "gs_usb"], check=True)
    yield
    subprocess.run(["rmmod", "gs_usb"], check=True)
