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
    assert span_of("now", "2025-11-25T10:00:00Z").ends


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
