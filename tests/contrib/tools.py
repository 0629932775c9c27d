"""Programs of others that tests need; `tests/run` installs them."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def needed(*commands: str) -> None:
    """Leave the test out where one of `commands` is missing."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        left_out(f"there is no {' and no '.join(missing)} here")


def left_out(reason: str) -> NoReturn:
    """Skip, and say why; a failure with CI=true, where nothing may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"left out: {reason}")
    pytest.skip(reason)
