"""Ends of validity of certificates as sentences."""

from __future__ import annotations

import pytest

from cancorderd.hub.access import HubAccess, ServerAddress
from cancorderd.hub.certificates import Validity, validities

DAY_S = 86_400
SERVER = ServerAddress("hub", 4222, tls=True)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (31, None),
        (29.5, "x: this expires in 29 days. Renew it."),
        (1.5, "x: this expires in 1 day. Renew it."),
        (0.5, "x: this expires within a day. Renew it."),
        (-1, "x: this has expired. Renew it."),
    ],
)
def test_end_of_validity_in_words(days: float, words: str | None) -> None:
    now_s = 1_764_000_000.0
    assert Validity("x: this", now_s + days * DAY_S, "Renew it.").notice(now_s) == words


def test_files_that_say_nothing_have_no_end(tmp_path: object) -> None:
    nowhere = HubAccess(("tls://hub",), ca=f"{tmp_path}/none", certificate=f"{tmp_path}/none")
    assert validities(SERVER, nowhere, None) == []
    assert validities(SERVER, nowhere, b"no certificate") == []
