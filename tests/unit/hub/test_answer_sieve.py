"""Answers to publishes are taken out of what a server sends; all the rest stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.hub.answer_sieve import SID, Answer, AnswerSieve

STORED = b'{"stream":"CAN_a", "seq":42}'


def answer(number: int, body: bytes = STORED) -> bytes:
    return b"MSG _INBOX_a.x.%d %s %d\r\n%s\r\n" % (number, SID.encode(), len(body), body)


def no_responders(number: int) -> bytes:
    return b"HMSG _INBOX_a.x.%d %s 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" % (number, SID.encode())


OTHERS = (
    b"PING\r\n",
    b"+OK\r\n",
    b"XMSG a 4294967295 x\r\n",
    b"-ERR 'Permissions Violation for Publish to \"can.a.b\"'\r\n",
    b'INFO {"ldm":true}\r\n',
    b"MSG _INBOX_a.y.7 1 6\r\nPING\r\n\r\n",
    b"MSG _INBOX_a.y.7 1 _INBOX_b.x.1 0\r\n\r\n",
    b"HMSG _INBOX_a.y.8 1 12 14\r\nNATS/1.0\r\n\r\nxy\r\n",
)
PARTS = st.lists(
    st.one_of(
        st.sampled_from(OTHERS).map(lambda data: (data, None)),
        st.integers(0, 9).map(lambda number: (answer(number), Answer(number, STORED))),
        st.integers(0, 9).map(lambda number: (no_responders(number), Answer(number, b"", "503"))),
    ),
    max_size=8,
)


@given(PARTS, st.lists(st.integers(1, 40)))
def test_any_split_gives_the_same_answers_and_the_same_rest(
    parts: list[tuple[bytes, Answer | None]], sizes: list[int]
) -> None:
    data = b"".join(part for part, _ in parts)
    sieve, answers, others, at = AnswerSieve(), list[Answer](), b"", 0
    for size in [*sizes, len(data)]:
        found, rest = sieve.sift(data[at : at + size])
        answers += found
        others += rest
        at += size
    assert answers == [expected for _, expected in parts if expected]
    assert others == b"".join(part for part, expected in parts if not expected)


def test_large_message_of_nats_py_is_not_gathered() -> None:
    sieve = AnswerSieve()
    line = b"MSG _INBOX_a.y.7 1 60000\r\n"
    assert sieve.sift(line + bytes(10)) == ([], line + bytes(10))
    assert sieve.sift(bytes(59_990)) == ([], bytes(59_990))
    assert sieve.sift(b"\r\n" + answer(1)) == ([Answer(1, STORED)], b"\r\n")


def test_answer_without_a_number_has_none() -> None:
    data = answer(5).replace(b".5 ", b".x ")
    assert AnswerSieve().sift(data) == ([Answer(-1, STORED)], b"")


@pytest.mark.parametrize(
    "data",
    [
        b"MSG a 1 x\r\n",
        b"MSG 1 2\r\n",
        b"MSG\r\n",
        b"HMSG a 1 9 8\r\n",
        b"HMSG a 1 8\r\n",
        b"HMSG a 1 -1 8\r\n",
        b"MSG a 1 -5\r\n",
        b"x" * (1 << 20) + b"y",
    ],
)
def test_what_no_server_sends_is_left_to_nats_py(data: bytes) -> None:
    sieve = AnswerSieve()
    assert sieve.sift(answer(1) + data) == ([Answer(1, STORED)], data)
    assert sieve.sift(answer(2)) == ([], answer(2))


def test_number_that_is_longer_than_any_sequence_is_none() -> None:
    answers, others = AnswerSieve().sift(b"MSG _INBOX.%s %s 2\r\n{}\r\n" % (b"9" * 5000, SID.encode()))
    assert [answer.number for answer in answers] == [-1]
    assert others == b""
