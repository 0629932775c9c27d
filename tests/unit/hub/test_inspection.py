"""What `hub check` says of a stream."""

from __future__ import annotations

import pytest

from cancorderd.hub.inspection import _held
from cancorderd.hub.jetstream import StreamState

LAST_US = 1_764_150_000_123_456


@pytest.mark.parametrize(
    ("messages", "size", "sentence"),
    [
        (0, 0, "no messages yet"),
        (134, 62_937, "134 messages, 62.9 kB, the last of 2025-11-26 09:40:00 UTC"),
        (6023, 2_727_703, "6023 messages, 2.73 MB, the last of 2025-11-26 09:40:00 UTC"),
        (1, 50, "1 message, 50 bytes, the last of 2025-11-26 09:40:00 UTC"),
    ],
)
def test_content_of_a_stream_shows_whether_something_is_stored(
    messages: int, size: int, sentence: str
) -> None:
    assert _held(StreamState(messages, size, 1, messages, LAST_US, LAST_US)) == sentence
