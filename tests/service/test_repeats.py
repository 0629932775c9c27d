from __future__ import annotations

from cancorderd.service.repeats import Repeats, cause, duration

FLAP_S = 2.0


def told(repeats: Repeats[str], moments: list[float], until_s: float) -> list[tuple[float, str]]:
    """What is told when, if one kind is said at these moments and `due` is asked each second."""
    found = []
    waiting = sorted(moments)
    for second in range(int(until_s) + 1):
        while waiting and waiting[0] <= second:
            moment = waiting.pop(0)
            if repeats.take("kind", "down", moment):
                found.append((moment, "down"))
        found += [(float(second), f"{one.last}{one.words()}") for one in repeats.due(second)]
    return found


def test_the_first_is_told_at_once_and_a_single_one_stays_single() -> None:
    assert told(Repeats(), [3.0], 300) == [(3.0, "down")]


def test_a_second_one_is_late_but_not_lost_and_not_counted() -> None:
    assert told(Repeats(), [0.0, 4.0], 300) == [(0.0, "down"), (10.0, "down")]


def test_what_goes_on_is_told_ever_more_rarely() -> None:
    moments = [FLAP_S * number for number in range(2000)]
    assert told(Repeats(), moments, 3600) == [
        (0.0, "down"),
        (10.0, "down (5 times in 10 s)"),
        (70.0, "down (30 times in 60 s)"),
        (670.0, "down (300 times in 10 min)"),
    ]


def test_after_silence_the_next_is_a_first_one_again() -> None:
    busy = [float(number) for number in range(100)]
    found = told(Repeats(), [*busy, 300.0], 400)
    assert found[-1] == (300.0, "down")
    assert found[-2] == (189.0, "down (29 times in 119 s)"), "told once it is over"


def test_other_kinds_are_not_held() -> None:
    repeats: Repeats[str] = Repeats()
    assert repeats.take("a", "x", 0)
    assert repeats.take("b", "x", 0)
    assert not repeats.take("a", "x", 1)


def test_what_is_held_is_told_at_the_end_in_the_order_it_came() -> None:
    repeats: Repeats[str] = Repeats()
    for moment, kind in enumerate(["a", "b", "b", "a", "a"]):
        repeats.take(kind, kind, moment)
    assert [(one.last, one.count) for one in repeats.rest(5)] == [("b", 1), ("a", 2)]
    assert repeats.rest(6) == []


def test_memory_has_a_bound() -> None:
    repeats: Repeats[str] = Repeats()
    for number in range(5000):
        repeats.take(number, "x", 0)
    repeats.take(7, "x", 0)
    assert [one.count for one in repeats.due(0)] == [1]
    assert repeats.take(8, "x", 0), "forgotten"


def test_durations_and_client_ports_make_no_other_cause() -> None:
    assert cause("no sign of life for 11 s") == cause("no sign of life for 12 s")
    assert cause("client 10.0.0.7:40001 connected") == cause("client 10.0.0.7:40002 connected")
    assert cause("client [fe80::1]:4001 connected") == cause("client [fe80::1]:4002 connected")
    assert cause("ended with status 3") != cause("ended with status 4")
    assert cause("client 10.0.0.7:1 connected") != cause("client 10.0.0.8:1 connected")


def test_durations_in_words() -> None:
    assert [duration(one) for one in (10, 60, 600, 3600)] == ["10 s", "60 s", "10 min", "1 h"]
