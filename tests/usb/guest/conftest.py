"""What the tests with USB share. They need the machine of tests/usb/machine and are not collected elsewhere."""

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
    """Plugs emulated adapters in; they leave with the test."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(Plugged(*options))


@pytest.fixture
def kernel_driver() -> Iterator[None]:
    """The kernel's gs_usb takes every adapter that is plugged in meanwhile."""
    subprocess.run(["modprobe", "gs_usb"], check=True)
    yield
    subprocess.run(["rmmod", "gs_usb"], check=True)
