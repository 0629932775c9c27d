from __future__ import annotations

import gc
import itertools
import weakref

from cancorderd.service.repeated_messages import FIRST, RepeatedMessages, cause, duration

FLAP_S = 2.0


def logged(repeated: RepeatedMessages[str], moments: list[float], until_s: float) -> list[tuple[float, str]]:
    """Return the lines and their times, if a message comes at these moments and `due` is called each second."""
    found = []
    waiting = sorted(moments)
    for second in range(int(until_s) + 1):
        while waiting and waiting[0] <= second:
            moment = waiting.pop(0)
            if repeated.passes("kind", "down", moment):
                found.append((moment, "down"))
        found += [
            (float(second), f"{summary.last}{summary.suffix(lambda _: 'then')}")
            for summary in repeated.due(second)
        ]
    return found


def test_a_single_message_is_logged_once_and_at_once() -> None:
    assert logged(RepeatedMessages(), [3.0], 300) == [(3.0, "down")]


def test_the_first_few_messages_are_logged_at_once() -> None:
    moments = [0.0, 0.5, 1.0, 1.5, 2.0]
    assert logged(RepeatedMessages(), moments, 300) == [(moment, "down") for moment in moments]


def test_a_sixth_message_is_counted_at_the_end_of_the_window() -> None:
    moments = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert logged(RepeatedMessages(), moments, 300)[FIRST:] == [(10.0, "down (once more in 10 s, at then)")]


def test_two_changes_that_alternate_are_logged_in_order() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    passed = [repeated.passes(kind, kind, moment) for moment, kind in enumerate(["up", "down"] * FIRST)]
    assert all(passed)


def test_summaries_become_rarer() -> None:
    moments = [FLAP_S * number for number in range(2000)]
    found = logged(RepeatedMessages(), moments, 3600)
    assert [line for line in found if line[1] != "down"] == [
        (10.0, "down (once more in 10 s, at then)"),
        (70.0, "down (25 more times in 60 s, from then to then)"),
        (670.0, "down (295 more times in 10 min, from then to then)"),
    ]
    assert len(found) == 3 + 4 * FIRST


def test_a_slow_repetition_does_not_flood_the_log() -> None:
    moments = [3.0 * number for number in range(10_000)]
    assert len(logged(RepeatedMessages(), moments, 30_000)) < 80


def test_after_silence_the_next_message_passes_at_once() -> None:
    busy = [float(number) for number in range(100)]
    found = logged(RepeatedMessages(), [*busy, 300.0], 400)
    assert found[-1] == (300.0, "down")
    assert found[-2] == (189.0, "down (24 more times in 119 s, from then to then)"), (
        "the rest is logged after 90 s of silence"
    )


def test_other_kinds_are_not_held() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    assert repeated.passes("a", "x", 0)
    assert repeated.passes("b", "x", 0)
    assert [repeated.passes("a", "x", 1) for _ in range(FIRST)] == [True] * (FIRST - 1) + [False]


def test_held_messages_are_logged_at_the_end_in_order() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    for moment, kind in enumerate(["a", "b"] * (FIRST - 1) + ["a", "b", "b", "a", "a"]):
        repeated.passes(kind, kind, moment)
    assert [(summary.last, summary.count) for summary in repeated.rest(5)] == [("b", 1), ("a", 2)]
    assert repeated.rest(6) == []


def test_a_single_message_is_not_logged_again_at_the_end() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    repeated.passes("kind", "down", 3)
    assert repeated.rest(5) == []


def test_a_summary_at_the_end_has_the_time_since_its_window_began() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    for moment in (3, 3, 3, 3, 3, 4, 5, 6):
        repeated.passes("kind", f"{moment} o'clock", moment)
    (summary,) = repeated.rest(7)
    assert summary.suffix(str) == " (3 more times in 4 s, from 4 o'clock to 6 o'clock)"


def test_a_kind_that_is_to_be_seen_soon_has_short_windows() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    moments = []
    for second in range(1000):
        repeated.passes("kind", "client", second, longest_s=60)
        moments += [second for _ in repeated.due(second)]
    assert moments[0] == 10
    assert {later - earlier for earlier, later in itertools.pairwise(moments)} == {60}


def test_memory_has_a_bound() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    for number in range(5000):
        repeated.passes(number, "x", 0)
    for _ in range(FIRST):
        repeated.passes(7, "x", 0)
    assert [summary.count for summary in repeated.due(0)] == [1]
    assert repeated.passes(8, "x", 0), "forgotten"


def test_after_a_quiet_window_the_next_message_passes_at_once() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    assert repeated.passes("kind", "down", 0)
    assert repeated.due(11) == []
    assert repeated.passes("kind", "down", 12)


def burst(repeated: RepeatedMessages[str], now_s: float) -> list[bool]:
    """A message more than pass at once."""
    return [repeated.passes("kind", "down", now_s) for _ in range(FIRST + 1)]


BURST = [True] * FIRST + [False]


def test_after_a_quiet_window_the_windows_start_over() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    repeated.passes("kind", "down", 0)
    repeated.due(10)
    assert burst(repeated, 12) == BURST
    assert [summary.seconds for summary in repeated.due(22)] == [10]


def test_after_a_quiet_window_that_followed_a_busy_one_the_windows_start_over() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    burst(repeated, 0)
    assert len(repeated.due(10)) == 1
    assert repeated.due(70) == []
    assert burst(repeated, 71) == BURST
    assert [summary.seconds for summary in repeated.due(81)] == [10]


def test_a_single_message_in_a_later_window_keeps_the_windows_long() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    burst(repeated, 0)
    repeated.due(10)
    assert repeated.passes("kind", "down", 60)
    assert repeated.due(70) == []
    assert burst(repeated, 71) == BURST
    assert repeated.due(81) == []
    assert [summary.seconds for summary in repeated.due(670)] == [600]


def test_after_silence_the_windows_start_over() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    for moment in range(0, 60, 2):
        repeated.passes("kind", "down", moment)
        repeated.due(moment)
    assert len(repeated.due(58 + 90)) == 1
    assert burst(repeated, 150) == BURST
    assert [summary.seconds for summary in repeated.due(160)] == [10]


class Message:
    """A message that can be watched for being forgotten."""


def test_a_message_is_kept_no_longer_than_its_summary_needs() -> None:
    repeated: RepeatedMessages[Message] = RepeatedMessages()
    kept = []
    for number in range(1500):
        for _ in range(FIRST + number % 2 + 1):  # some are held, some are not
            message = Message()
            repeated.passes(number, message, 0)
        kept.append(weakref.ref(message))
    del message
    repeated.due(1)
    gc.collect()
    assert not [reference for reference in kept if reference() is not None]


def test_too_many_kinds_are_logged_and_forgotten() -> None:
    repeated: RepeatedMessages[str] = RepeatedMessages()
    for moment in [0] * FIRST + [1]:
        for number in range(1500):
            repeated.passes(number, "down", moment)
    assert len(repeated.due(2)) == 1500
    assert all(repeated.passes(number, "down", 3) for number in range(1500))


def test_durations_and_client_ports_do_not_change_the_cause() -> None:
    assert cause("sent no heartbeat for 11 s") == cause("sent no heartbeat for 12 s")
    assert cause("client 10.0.0.7:40001 connected") == cause("client 10.0.0.7:40002 connected")
    assert cause("client [fe80::1]:4001 connected") == cause("client [fe80::1]:4002 connected")
    assert cause("UDS session #7: starts") == cause("UDS session #8: starts")
    assert cause("ended with status 3") != cause("ended with status 4")
    assert cause("client 10.0.0.7:1 connected") != cause("client 10.0.0.8:1 connected")


def test_durations_as_text() -> None:
    assert [duration(seconds) for seconds in (10, 60, 600, 3600)] == ["10 s", "60 s", "10 min", "1 h"]
