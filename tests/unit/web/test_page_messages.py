"""Messages of a page: those of ours are read, all others are refused."""

from __future__ import annotations

import json
import math

import pytest

from cancorderd.protocol.frame import EXTENDED
from cancorderd.web.frame_table import key_text, row_key
from cancorderd.web.page_messages import (
    LONGEST_MESSAGE,
    MOST_DECODED,
    MessageError,
    Ready,
    Watch,
    encode,
    read_message,
)


def watch(**changes: object) -> str:
    return json.dumps({"kind": "watch", "bus": "body", "frames": True, "decode": []} | changes)


def test_watch_and_ready() -> None:
    keys = (row_key(0x7E8, 0), row_key(0x18DAF110, EXTENDED))
    assert read_message(watch(decode=[key_text(key) for key in keys])) == Watch("body", True, keys)
    assert read_message(watch(bus=None, frames=False)) == Watch()
    assert read_message('{"kind": "ready"}') == Ready()


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", "3", '{"kind": "stop"}', '{"kind": "watch"}', "[" * 5000, "x" * 20_000,
        watch(bus=3), watch(bus=["a"]), watch(frames="yes"), watch(frames=1), watch(decode=None), watch(decode=["zz"]),
        watch(decode=["7e8"]), watch(decode=[1]), watch(decode=["7E8R"]), watch(decode=["800"]),
        watch(decode=["FFFFFFFF"]), watch(decode=["7E8\n"]), watch(decode=["7E8"] * (MOST_DECODED + 1)),
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MessageError):
        read_message(text)


def test_as_many_ids_as_a_page_may_have_decoded_fit_into_a_message() -> None:
    read = read_message(watch(decode=["18DAF110"] * MOST_DECODED))
    assert isinstance(read, Watch)
    assert len(read.decode) == MOST_DECODED


def test_hostile_text_stays_one_json_string() -> None:
    events = [
        {"time": 1.0, "bus": "a", "level": "info", "text": '</script><img src=x onerror="alert(1)">\u2028'}
    ]
    assert json.loads(encode({"kind": "events", "events": events}))["events"] == events  # type: ignore[typeddict-item]


def test_a_message_of_the_greatest_length_is_read() -> None:
    assert read_message('{"kind": "ready"}'.ljust(LONGEST_MESSAGE)) == Ready()
    with pytest.raises(MessageError):
        read_message('{"kind": "ready"}'.ljust(LONGEST_MESSAGE + 1))


def test_messages_are_compact_and_hold_no_number_that_a_browser_cannot_read() -> None:
    assert encode({"kind": "hello", "control": True}) == '{"kind":"hello","control":true}'
    with pytest.raises(ValueError):
        encode({"kind": "signals", "bus": "a", "signals": {"7E8": math.nan}, "reason": ""})
