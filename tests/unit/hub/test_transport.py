"""Why no TCP connection comes about."""

from __future__ import annotations

import errno

import pytest

from cancorderd.hub.transport import _unreachable


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.1', 4222)"), "cannot be reached (No route to host)."),
        (OSError("Multiple exceptions: a, b"), "cannot be reached (Multiple exceptions: a, b)."),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "no server listens there."),
    ],
)  # fmt: skip
def test_fact_is_that_of_the_system(error: OSError, sentence: str) -> None:
    assert _unreachable(error).startswith(f"{sentence} ")
