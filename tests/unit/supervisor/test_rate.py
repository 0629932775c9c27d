from __future__ import annotations

import pytest

from cancorderd.ipc.messages import Counts
from cancorderd.supervisor.rate import Rate


def test_rate_between_two_reports() -> None:
    rate = Rate()
    assert (rate.frames_per_second, rate.load(500_000)) == (0, 0)
    assert not rate.known
    rate.update(Counts(received=100, payload_bytes=800), 10.0)
    assert not rate.known, "a single report has no rate"
    assert rate.frames_per_second == 0
    rate.update(Counts(received=1100, payload_bytes=8800), 12.0)
    assert rate.known
    assert rate.frames_per_second == 500
    assert rate.load(500_000) == pytest.approx(500 * 111 / 500_000)


def test_a_report_right_after_another_does_not_change_the_rate() -> None:
    rate = Rate()
    rate.update(Counts(), 10.0)
    rate.update(Counts(received=1000), 11.0)
    rate.update(Counts(received=1010), 11.01)
    assert rate.frames_per_second == 1000
    rate.update(Counts(received=2000), 12.0)
    assert rate.frames_per_second == 1000


def test_load_is_never_above_one() -> None:
    rate = Rate()
    rate.update(Counts(), 0.0)
    rate.update(Counts(received=1_000_000, payload_bytes=8_000_000), 1.0)
    assert rate.load(500_000) == 1.0


@pytest.mark.parametrize(("after_s", "known"), [(0.49, False), (0.5, True)])
def test_a_rate_needs_half_a_second(after_s: float, known: bool) -> None:
    rate = Rate()
    rate.update(Counts(), 10.0)
    rate.update(Counts(received=100), 10.0 + after_s)
    assert rate.known == known
    assert rate.frames_per_second == (200 if known else 0)
