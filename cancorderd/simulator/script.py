"""What a tester's scripts are made of. Pure.

A script is a generator: it yields the steps that the tester is to do, and gets the response to each `Ask`.
`tester` does the steps; `session` and `polling` are scripts.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from cancorderd.simulator.uds import NEGATIVE, Nrc

Span = tuple[float, float]
"""Shortest and longest, in seconds."""

SOON_S: Span = (0.020, 0.050)


class Ask(NamedTuple):
    """Send a request, `after_s` from now, and give the response.

    The tester itself waits where the ECU says "response pending", and repeats where it says "busy, repeat
    request" or nothing. It throws NoAnswer into the script when that was in vain.
    """

    request: bytes
    functional: bool = False
    after_s: Span = SOON_S


class Pause(NamedTuple):
    """Do nothing for a while."""

    span_s: Span


class KeepAlive(NamedTuple):
    """Begin or end saying TesterPresent to all, every two seconds."""

    on: bool


Step = Ask | Pause | KeepAlive
Script = Generator[Step, bytes, None]


class Failure(Exception):
    """The script cannot go on as planned."""


class NoAnswer(Failure):
    """No response, in spite of repetitions."""


class GivenUp(Failure):
    """The ECU refused once too often."""


class Negative(Failure):
    """A negative response that the script has to deal with."""

    def __init__(self, service: int, nrc: int) -> None:
        super().__init__(f"service 0x{service:02X} answered with 0x{nrc:02X}")
        self.nrc = nrc


def ask(request: bytes, *, functional: bool = False, after_s: Span = SOON_S) -> Generator[Step, bytes, bytes]:
    """The positive response to `request`. Raises Negative, and NoAnswer as `Ask` says."""
    response = yield Ask(request, functional, after_s)
    if response[0] == NEGATIVE:
        raise Negative(response[1], response[2])
    return response


def try_out(request: bytes, *expected: Nrc, functional: bool = False) -> Generator[Step, bytes, bytes | None]:
    """The positive response to `request`, or None where the ECU refuses it as `expected`."""
    try:
        return (yield from ask(request, functional=functional))
    except Negative as negative:
        if negative.nrc not in expected:
            raise
        return None
