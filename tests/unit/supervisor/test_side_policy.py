"""When a process beside the workers is started again."""

from __future__ import annotations

import pytest

from cancorderd.ipc.backoff import Backoff
from cancorderd.ipc.exit_statuses import SideExit
from cancorderd.supervisor.side_policy import STABLE_S, End, Next, SidePolicy

KILLED = End(-9, "was ended by signal 9 (Killed)")
MISSING = "nats-py is not installed. Install it."
PAGE = SidePolicy(decides_itself=True)
FORWARDER = SidePolicy(subject="the forwarder", delays=Backoff(0.5, 60.0), refused_s=60.0)


def reason(delay: str, subject: str = "the forwarder") -> str:
    return f"{subject} was ended by signal 9 (Killed); the next one starts in {delay} s."


@pytest.mark.parametrize(
    ("policy", "end", "failures", "expected"),
    [
        pytest.param(PAGE, End(SideExit.DONE, ""), 3, Next(None), id="not wanted"),
        pytest.param(PAGE, End(SideExit.AGAIN, ""), 3, Next(0.0), id="other settings"),
        pytest.param(
            PAGE,
            End(SideExit.REFUSED, "", "the port is taken."),
            1,
            Next(2.0, 2, "the port is taken.", crashed=True),
            id="refused, tried soon",
        ),
        pytest.param(PAGE, KILLED, 0, Next(1.0, 1, reason("1", "it"), crashed=True), id="page killed"),
        pytest.param(FORWARDER, KILLED, 0, Next(0.5, 1, reason("0.5"), crashed=True), id="first failure"),
        pytest.param(FORWARDER, KILLED, 1, Next(1.0, 2, reason("1"), crashed=True), id="second failure"),
        pytest.param(FORWARDER, KILLED, 99, Next(60.0, 100, reason("60"), crashed=True), id="longest delay"),
        pytest.param(
            FORWARDER,
            KILLED._replace(ran_s=STABLE_S),
            99,
            Next(0.5, 1, reason("0.5"), crashed=True),
            id="failure after a long run",
        ),
        pytest.param(
            FORWARDER,
            KILLED._replace(ran_s=STABLE_S - 0.1),
            1,
            Next(1.0, 2, reason("1"), crashed=True),
            id="failure after a short run",
        ),
        pytest.param(
            FORWARDER,
            End(SideExit.REFUSED, "", MISSING),
            3,
            Next(60.0, 3, MISSING),
            id="refused, tried after a minute",
        ),
        pytest.param(
            FORWARDER,
            End(SideExit.REFUSED, "ended with status 78"),
            0,
            Next(0.5, 1, "the forwarder ended with status 78; the next one starts in 0.5 s.", crashed=True),
            id="refused without a reason",
        ),
        *(
            pytest.param(
                FORWARDER,
                End(status, "ended"),
                0,
                Next(0.5, 1, "the forwarder ended; the next one starts in 0.5 s.", crashed=True),
                id=f"it cannot choose {status.name}",
            )
            for status in (SideExit.DONE, SideExit.AGAIN)
        ),
        pytest.param(
            FORWARDER,
            End(None, "the forwarder cannot be started: its program is gone."),
            1,
            Next(1.0, 2, "the forwarder cannot be started: its program is gone. The next try is in 1 s."),
            id="not started",
        ),
    ],
)
def test_what_follows_an_end(policy: SidePolicy, end: End, failures: int, expected: Next) -> None:
    assert policy.after(end, failures) == expected
