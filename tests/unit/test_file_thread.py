"""Calls that wait for a file system: limits, order, and threads that cannot be had."""

from __future__ import annotations

import _thread
import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd import file_thread
from cancorderd.file_thread import FileThread, NoAnswer
from tests.support.harness import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def answers() -> Iterator[threading.Event]:
    """An event at which the file system answers."""
    event = threading.Event()
    yield event
    event.set()


def fail() -> None:
    raise FileNotFoundError("/gone")


def test_results_and_exceptions_are_those_of_the_call() -> None:
    thread = FileThread()
    assert thread.submit(lambda: 3).wait(PATIENCE_S) == 3
    assert asyncio.run(thread.submit(lambda: 4).answer(10)) == 4
    with pytest.raises(FileNotFoundError, match="/gone"):
        thread.submit(fail).wait(PATIENCE_S)
    with pytest.raises(FileNotFoundError, match="/gone"):
        asyncio.run(thread.submit(fail).answer(None))


def test_a_call_without_an_answer_can_be_asked_again(answers: threading.Event) -> None:
    call = FileThread().submit(answers.wait)
    with pytest.raises(NoAnswer):
        call.wait(0.01)
    with pytest.raises(NoAnswer):
        asyncio.run(call.answer(0.01))
    assert not call.done
    answers.set()
    assert call.wait(PATIENCE_S) is True


def test_calls_follow_each_other_in_one_thread(answers: threading.Event) -> None:
    thread = FileThread()
    order: list[int] = []
    blocked = thread.submit(answers.wait)
    later = [thread.submit(lambda number=number: order.append(number)) for number in range(3)]  # type: ignore[misc]
    assert not order
    answers.set()
    blocked.wait(PATIENCE_S)
    for call in later:
        call.wait(PATIENCE_S)
    assert order == [0, 1, 2]


def test_a_thread_that_cannot_begin_is_replaced_and_waited_for_within_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thread = FileThread()
    with monkeypatch.context() as patch:  # a thread without memory ends before our code runs
        patch.setattr(_thread, "start_new_thread", lambda *_: 0)
        lost = thread.submit(lambda: 1)
    with pytest.raises(NoAnswer):
        lost.wait(0.01)
    assert lost.withdraw()
    call = thread.submit(lambda: 2)
    assert call.wait(PATIENCE_S) == 2
    assert not call.withdraw()
    assert not lost.done


def test_a_thread_that_is_not_allowed_is_an_error_of_the_system_and_may_come_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    thread = FileThread()
    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", refuse)
        with pytest.raises(OSError, match="no further thread is allowed"):
            thread.submit(fail)
    assert thread.submit(lambda: 5).wait(PATIENCE_S) == 5


def compute() -> None:
    while time.thread_time() < 0.3:
        pass


def test_time_in_which_the_thread_computes_is_no_waiting(answers: threading.Event) -> None:
    computed = threading.Event()

    def call() -> None:
        compute()
        computed.set()
        answers.wait()

    began_s = time.monotonic()
    requested = FileThread().submit(call)
    computed.wait()
    assert requested.waited_s() <= time.monotonic() - began_s - 0.25


def test_time_in_which_the_thread_gets_no_processor_is_no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    schedstat = {"text": "1000000000 2000000000 7"}
    real_open = open

    def stand_in(path: str, **options: str) -> object:
        if path.endswith("/schedstat"):
            reading, writing = os.pipe()
            os.write(writing, schedstat["text"].encode())
            os.close(writing)
            return real_open(reading, **options)  # type: ignore[call-overload]
        return real_open(path, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(file_thread, "open", stand_in, raising=False)
    begun, ends = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        ends.wait()

    call = FileThread().submit(wait)
    begun.wait()
    schedstat["text"] = "1500000000 62000000000 9"
    assert call.waited_s() < -59, "60.5 s of the (virtual) time were no waiting"
    ends.set()
    call.wait(PATIENCE_S)


def test_without_figures_of_the_scheduler_processor_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = open

    def without_schedstat(path: str, **options: str) -> object:
        if path.endswith("/schedstat"):
            raise FileNotFoundError(path)
        return real_open(path, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(file_thread, "open", without_schedstat, raising=False)
    busy_s = file_thread._busy_s(threading.get_native_id())
    end_s = time.thread_time() + 0.1
    while time.thread_time() < end_s:
        pass
    assert file_thread._busy_s(threading.get_native_id()) - busy_s >= 0.07
