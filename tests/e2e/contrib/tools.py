"""External programs that tests need; `tests/run` installs them."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def require_commands(*commands: str) -> None:
    """Skip the test if a command is missing."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        skip_outside_ci(f"{' and '.join(missing)} missing")


def skip_outside_ci(reason: str) -> NoReturn:
    """Skip the test, or let it fail if CI=true, because CI must not skip tests."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"skipped: {reason}")
    pytest.skip(reason)
