"""Settings of a bus at a hub, and the moments in them."""

from __future__ import annotations

from typing import Any

import pytest

from cancorderd.adapters.nats.moments import EVER, MomentError, Span, Wanted, span_of
from cancorderd.adapters.nats.position import Position, from_text, to_text
from cancorderd.adapters.nats.settings import NatsSettings
from cancorderd.config import settings_json
from cancorderd.config.validation import validated
from cancorderd.hub.headers import BatchHead, BatchId, Losses
from tests.support.settings import valid

KEYS: dict[str, Any] = {
    "name": "far", "interface": "nats", "url": ["tls://hub.example.net"], "gateway": "truck-17", "bus": "body",
}  # fmt: skip
TEN_US = 1_764_064_800_000_000


def test_key_from_is_the_field_from_() -> None:
    settings = valid(NatsSettings, **KEYS, **{"from": "all"})
    assert settings.from_ == "all"
    assert settings_json.from_json(settings_json.to_json(settings)) == settings


def test_channel_shows_the_gateway_and_its_bus() -> None:
    assert valid(NatsSettings, **KEYS).channel == "truck-17/body"
    assert valid(NatsSettings, **KEYS, channel="mine").channel == "mine"


@pytest.mark.parametrize(
    ("keys", "key", "fact"),
    [
        ({"gateway": "a.b"}, "gateway", '"a.b" is no name of a gateway'),
        ({"bus": "b*"}, "bus", '"b*" is no name of a bus'),
        ({"from": "yesterday"}, "from", '"yesterday" is no moment'),
        ({"from": "2026-11-25T10:00:00"}, "from", '"2026-11-25T10:00:00" has no time zone'),
        ({"from": 5}, "from", "5 is a number, not text"),
        ({"to": "1969-01-01T00:00:00Z"}, "to", '"1969-01-01T00:00:00Z" is before 1970, where time stamps begin'),
        ({"from": "2026-11-25T10:00:00Z", "to": "2026-11-25T09:00:00Z"}, "to",
         '"2026-11-25T09:00:00Z" is before from = "2026-11-25T10:00:00Z"'),
        ({"url": []}, "url", "it is empty"),
        ({"url": ["tls://me:secret@hub"]}, "url", "it contains a user or password"),
        ({"user": "viewer"}, "password_file", "it is missing beside user"),
    ],
)  # fmt: skip
def test_mistakes_name_their_key(keys: dict[str, Any], key: str, fact: str) -> None:
    _, findings = validated(NatsSettings, {**KEYS, **keys})
    assert [(finding.keys, finding.fact) for finding in findings] == [((key,), fact)]
    assert "secret" not in findings[0].remedy


def test_moments() -> None:
    assert span_of("now") == Wanted(True, EVER)
    assert span_of("all") == Wanted(False, EVER)
    assert span_of("2025-11-25T10:00:00Z") == Wanted(False, Span(TEN_US))
    assert span_of("2025-11-25T11:00:00+01:00", "2025-11-25T10:00:00.000001Z") == Wanted(
        False, Span(TEN_US, TEN_US + 1)
    )
    assert not span_of("all").ends
    assert not span_of("now").ends
    assert span_of("now", "2025-11-25T10:00:00Z").ends


@pytest.mark.parametrize(
    ("first_us", "last_us", "held"),
    [
        (10, 20, True),
        (10, 10, True),
        (20, 20, True),
        (12, 15, True),
        (9, 15, False),
        (12, 21, False),
        (1, 30, False),
    ],
)
def test_span_includes_both_of_its_ends(first_us: int, last_us: int, held: bool) -> None:
    assert Span(10, 20).holds(first_us, last_us) == held
    assert EVER.holds(first_us, last_us)


@pytest.mark.parametrize(
    ("from_", "to", "key", "fact", "remedy"),
    [
        ("yesterday", None, "from", '"yesterday" is no moment',
         'Write "now", "all" or a moment such as "2026-11-25T10:00:00Z".'),
        ("now", "all", "to", '"all" is no moment', 'Write a moment such as "2026-11-25T10:00:00Z".'),
        ("now", "2026-11-25", "to", '"2026-11-25" has no time zone',
         'Add Z for UTC, or an offset, as in "2026-11-25T10:00:00Z".'),
        ("1969-12-31T23:59:59Z", None, "from", '"1969-12-31T23:59:59Z" is before 1970, where time stamps begin',
         'Write "now", "all" or a moment such as "2026-11-25T10:00:00Z".'),
        ("1970-01-01T00:00:01Z", "1970-01-01T00:00:00Z", "to",
         '"1970-01-01T00:00:00Z" is before from = "1970-01-01T00:00:01Z"', "Exchange the two."),
        ("x" * 41, None, "from", f'"{"x" * 40}" is no moment',
         'Write "now", "all" or a moment such as "2026-11-25T10:00:00Z".'),
    ],
)  # fmt: skip
def test_moments_that_cannot_be_used_are_mistakes_with_a_remedy(
    from_: str, to: str | None, key: str, fact: str, remedy: str
) -> None:
    with pytest.raises(MomentError) as refused:
        span_of(from_, to)
    assert (refused.value.key, refused.value.fact, refused.value.remedy) == (key, fact, remedy)
    assert str(refused.value) == f"{fact}. {remedy}"


def test_the_epoch_and_an_empty_span_are_in_order() -> None:
    assert span_of("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z").span == Span(0, 0)


@pytest.mark.parametrize("text", ["", "now ", "2026-13-01T00:00:00Z", "x" * 1000])
def test_other_texts_are_no_moments(text: str) -> None:
    with pytest.raises(MomentError, match="Write"):
        span_of(text)


def test_position_is_read_for_the_same_bus_and_part_only() -> None:
    head = BatchHead(BatchId("00000000000000a1", 7), 10, 60, 1, 2, Losses(1, 2, 3, 4, 5), 1)
    position = Position("2026-11-25T10:00:00.123Z", 99, head)
    text = to_text(position, "truck/body now")
    assert from_text(text, "truck/body now") == position
    assert from_text(text, "truck/body all") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1, 2]", '["a", "b", 1, "x.1", 1, 2, 3, 4, [], 0]'])
def test_other_text_is_no_position(text: str) -> None:
    assert from_text(text, "a") is None


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-23:59", "9001-01-01T00:00:00Z"])
def test_moments_behind_which_no_time_can_be_calculated(text: str) -> None:
    with pytest.raises(MomentError, match="too far away"):
        span_of(text)
