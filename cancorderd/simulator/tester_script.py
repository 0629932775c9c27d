"""Scripts of the tester, and the steps that they consist of. Pure.

A script is a generator that yields steps for the tester, and receives the response to each `Request`. The
steps are performed in `tester`; `reprogramming` and `obd_polling` contain scripts.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from cancorderd.simulator.uds import NEGATIVE, Nrc

Span = tuple[float, float]
"""Shortest and longest duration, in seconds."""

SOON_S: Span = (0.020, 0.050)


class Request(NamedTuple):
    """Send a request, `after_s` from now, and resume the script with the response.

    The tester itself waits if the response is "response pending", and repeats the request if it is "busy,
    repeat request" or if there is none. It throws NoAnswer into the script if repetitions do not help.
    """

    payload: bytes
    functional: bool = False
    after_s: Span = SOON_S


class Pause(NamedTuple):
    """Wait."""

    span_s: Span


class KeepAlive(NamedTuple):
    """Begin or end sending TesterPresent to all ECUs, every two seconds."""

    on: bool


ScriptStep = Request | Pause | KeepAlive
Script = Generator[ScriptStep, bytes, None]


class ScriptFailure(Exception):
    """The script cannot go on as planned."""


class NoAnswer(ScriptFailure):
    """There was no response, in spite of repetitions."""


class AttemptsExhausted(ScriptFailure):
    """The ECU refused too often."""


class NegativeResponse(ScriptFailure):
    """The ECU sent a negative response that the script has to handle."""

    def __init__(self, service: int, nrc: int) -> None:
        super().__init__(f"service 0x{service:02X} answered with 0x{nrc:02X}")
        self.nrc = nrc


def ask(
    request: bytes, *, functional: bool = False, after_s: Span = SOON_S
) -> Generator[ScriptStep, bytes, bytes]:
    """Return the positive response to `request`. Raises NegativeResponse or NoAnswer."""
    response = yield Request(request, functional, after_s)
    if response[0] == NEGATIVE:
        raise NegativeResponse(response[1], response[2])
    return response


def try_request(
    request: bytes, *expected: Nrc, functional: bool = False
) -> Generator[ScriptStep, bytes, bytes | None]:
    """Return the positive response to `request`, or None if the ECU refuses it with a code in `expected`."""
    try:
        return (yield from ask(request, functional=functional))
    except NegativeResponse as negative:
        if negative.nrc not in expected:
            raise
        return None
