"""When the bytes that arrive in the set-up of an adapter are complete."""

from __future__ import annotations

from cancorderd.adapters.slcan.burst import QUIET_S, Burst

ECHOES = (b"C", b"S6")
FRAME = b"t12381122334455667788\r"
LONG_S = 0.25


def burst(*chunks: tuple[float, bytes]) -> Burst:
    found = Burst(ECHOES, 0.0)
    for at_s, data in chunks:
        found.add(data, at_s)
    return found


def test_answer_is_complete_after_a_pause() -> None:
    found = burst((1.0, b"\r"))
    assert (found.due_s(5.0), found.may_be_answer(1.0)) == (1.0 + QUIET_S, True)
    assert found.complete(1.0 + QUIET_S / 2) is None
    replies = found.complete(1.0 + QUIET_S)
    assert replies
    assert (replies.answers, found.data, found.due_s(5.0)) == (b"\r", b"", 5.0)


def test_text_that_follows_shows_that_it_was_no_answer() -> None:
    found = burst((1.0, b"\r"), (1.0 + QUIET_S / 2, b"booting\r\n"))
    replies = found.complete(1.1)
    assert replies
    assert (replies.answers, replies.text) == (b"", b"booting")


def test_end_of_a_line_after_a_pause_is_no_answer() -> None:
    found = burst((1.0, b"boot"))
    replies = found.complete(1.1)
    assert replies
    found.add(b"ing\r", 1.2)
    replies = found.complete(1.3)
    assert replies
    assert (replies.answers, replies.text) == (b"", b"booting")


def test_answer_in_a_stream_counts_at_once() -> None:
    found = burst((1.0, FRAME + b"\r" + FRAME[:5]))
    replies = found.complete(1.0)
    assert replies
    assert (replies.answers, found.data) == (b"\r", FRAME[:5]), "the rest of the frame is still to come"
    assert not found.may_be_answer(1.0), "it goes on as a stream"


def test_frames_are_a_stream_once_they_last_longer_than_any_answer() -> None:
    found = burst((1.0, FRAME * 2))
    assert found.complete(1.0) is None
    found.add(FRAME, 1.0 + LONG_S)
    assert not found.may_be_answer(1.0 + LONG_S)
    replies = found.complete(1.0 + LONG_S)
    assert replies
    assert (replies.frames, replies.answers, found.data) == (True, b"", b"")


def test_device_that_talks_all_the_time_is_quoted() -> None:
    found = burst((1.0, b"temperature 21\r\n"), (1.0 + LONG_S, b"temperature 22\r\ntemp"))
    assert found.complete(1.0 + LONG_S) is None
    assert found.talk == b"temperature 21"
    assert found.data.endswith(b"temp"), "it may still be followed by a pause"


def test_bytes_are_bounded() -> None:
    found = burst(*((1.0, bytes(3000)) for _ in range(3)))
    assert len(found.data) == 4096
