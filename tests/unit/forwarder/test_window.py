"""Publishes in flight: the sequence numbers that they expect, and what answers mean."""

from __future__ import annotations

import json

import pytest

from cancorderd.forwarder.window import (
    MOST_BATCHES,
    MOST_BYTES,
    SILENT_S,
    Acknowledged,
    Refused,
    Window,
    refusal_sentence,
)
from tests.unit.forwarder.batches import batch


def stored(sequence: int) -> bytes:
    return json.dumps({"stream": "CAN_a", "seq": sequence}).encode()


def test_each_publish_expects_the_sequence_number_of_the_one_before() -> None:
    window = Window(41, 0.0)
    assert [window.publish(batch(number), 0.0) for number in (1, 2, 3)] == [41, 42, 43]


def test_acknowledgements_take_batches_out_in_order() -> None:
    window = Window(41, 0.0)
    first, second = batch(1), batch(2)
    window.publish(first, 0.0)
    window.publish(second, 0.0)
    assert window.answer(41, stored(42), None, 1.0) == Acknowledged(first)
    assert window.entries == [second]
    assert window.answer(42, stored(43), None, 1.0) == Acknowledged(second)
    assert window.entries == []


@pytest.mark.parametrize(
    ("before", "data", "status", "code"),
    [
        (
            41,
            b'{"error": {"code": 400, "err_code": 10071, "description": "wrong last sequence: 7"}}',
            None,
            10071,
        ),
        (41, b"", "503", 503),
        (41, stored(43), None, 0),
        (42, stored(43), None, 0),
        (41, b"no JSON", None, 0),
        (41, b"[]", None, 0),
        (41, b"[" * 100_000, None, 0),
        (41, b'{"error": {"code": 503}}', None, 503),
        (41, b'{"error": {"err_code": "x"}}', None, 0),
        (41, b'{"error": {"err_code": [1]}}', None, 0),
        (41, b'{"error": "denied"}', None, 0),
        (41, b"", "\u00b2", 0),
        (41, b"", "none", 0),
    ],
)
def test_anything_else_is_a_refusal(before: int, data: bytes, status: str | None, code: int) -> None:
    window = Window(41, 0.0)
    window.publish(batch(1), 0.0)
    window.publish(batch(2), 0.0)
    answer = window.answer(before, data, status, 1.0)
    assert isinstance(answer, Refused)
    assert answer.code == code


def test_batch_before_a_refused_one_got_no_answer() -> None:
    """As of a hub whose disk is full."""
    error = b'{"error": {"err_code": 10071, "description": "wrong last sequence: 41"}}'
    window = Window(41, 0.0)
    window.publish(batch(1), 0.0)
    window.publish(batch(2), 0.0)
    assert window.answer(42, error, None, 1.0) == Refused(10071, "wrong last sequence: 41", unanswered=True)
    assert window.answer(41, error, None, 1.0) == Refused(10071, "wrong last sequence: 41")


def test_answer_to_nothing_is_a_refusal() -> None:
    assert isinstance(Window(0, 0.0).answer(0, stored(1), None, 0.0), Refused)
    assert isinstance(Window(0, 0.0).answer(-1, stored(0), None, 0.0), Refused)


@pytest.mark.parametrize(
    "data",
    [
        b'{"stream":"CAN_a", "seq":42}',
        b'{"stream":"CAN_a","seq":42}',
        b'{"stream":"CAN_a","domain":"hub", "seq":42}',
        b'{"stream":"CAN_a", "seq":42,"duplicate":true}',
        b'{ "seq": 42, "stream": "CAN_\\"a" }',
    ],
)
def test_acknowledgement_is_read_however_it_is_written(data: bytes) -> None:
    window = Window(41, 0.0)
    window.publish(batch(1), 0.0)
    assert isinstance(window.answer(41, data, None, 1.0), Acknowledged)


@pytest.mark.parametrize("data", [b'{"stream":"CAN_a", "seq":42} x', b'{"stream":"CAN_a", "seq":042}'])
def test_answer_that_only_resembles_one_is_a_refusal(data: bytes) -> None:
    window = Window(41, 0.0)
    window.publish(batch(1), 0.0)
    assert isinstance(window.answer(41, data, None, 1.0), Refused)


def test_window_has_a_bound_in_batches_and_in_bytes() -> None:
    window = Window(0, 0.0)
    for number in range(MOST_BATCHES):
        assert window.has_room(100)
        window.publish(batch(number + 1, size=10), 0.0)
    assert not window.has_room(100)
    window = Window(0, 0.0)
    assert window.has_room(2 * MOST_BYTES), "one always may"
    entry = batch(1, size=MOST_BYTES - 1000)
    window.publish(entry, 0.0)
    left = MOST_BYTES - entry.size
    assert window.has_room(left)
    assert not window.has_room(left + 1)


def test_batch_that_is_to_be_alone_waits_for_the_one_before() -> None:
    window = Window(0, 0.0)
    assert window.has_room(2 * MOST_BYTES, most=1)
    window.publish(batch(1), 0.0)
    assert window.has_room(100)
    assert not window.has_room(100, most=1)


def test_hub_that_acknowledges_nothing_is_silent() -> None:
    window = Window(0, 0.0)
    assert not window.silent(10 * SILENT_S), "nothing is in flight"
    window.publish(batch(1), 100.0)
    assert not window.silent(100.0 + SILENT_S)
    assert window.silent(100.1 + SILENT_S)
    window.publish(batch(2), 120.0)
    window.answer(0, stored(1), None, 125.0)
    assert not window.silent(125.0 + SILENT_S)


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (Refused(503, "status 503"), "no stream holds can.gw.* in place of CAN_gw. Correct it: hub init."),
        (Refused(10060, "x"), "another stream holds can.gw.* in place of CAN_gw. Correct it: hub init."),
        (Refused(10077, "maximum bytes exceeded"),
         "refuses batches (maximum bytes exceeded). Check limits and space of CAN_gw at the hub."),
        (Refused(10071, "wrong last sequence: 6023", unanswered=True),
         "stores nothing, and does not say why. Make room on its disk, then restart nats-server; its log has the reason."),
    ],
)  # fmt: skip
def test_refusals_have_a_remedy(refusal: Refused, sentence: str) -> None:
    assert refusal_sentence(refusal, "gw", "hub init.") == sentence
