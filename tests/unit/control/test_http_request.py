from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from cancorderd.control.http_request import Answer, connected, send_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end and the server's."""
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    with ours, theirs:
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


def answered(pair: Pair, text: bytes, *, raw: bool = False) -> Answer:
    ours, theirs = pair
    theirs.sendall(text)
    theirs.shutdown(socket.SHUT_WR)
    return Answer(ours, raw=raw)


def test_a_body_has_the_length_of_its_header(pair: Pair) -> None:
    answer = answered(pair, b"HTTP/1.1 422 Wrong\r\nContent-length: 3\r\nx:y:z\r\n\r\nabcdef")
    assert (answer.status, answer.read()) == (422, b"abc")
    assert answer.headers == {"content-length": "3", "x": "y:z"}


def test_a_body_without_length_ends_with_the_connection(pair: Pair) -> None:
    answer = answered(pair, b"HTTP/1.0 200 OK\n\nabc\ndef")
    assert list(answer.lines()) == [b"abc\n", b"def"]


def test_a_raw_answer_reads_nothing_behind_its_head(pair: Pair) -> None:
    assert answered(pair, b"HTTP/1.1 200 OK\r\n\r\npackets", raw=True).status == 200
    assert pair[0].recv(100) == b"packets"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nx", "closed without an answer"),
        (b"SSH-2.0-x\r\n", "is not HTTP"),
        (b"HTTP/1.1 2x0 \r\n\r\n", "is not HTTP"),
        (b"HTTP/1.1 200 " + b"x" * 70_000, "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"%d:1\r\n" % number for number in range(200)), "100 headers"),
    ],
)
def test_a_head_that_is_none_is_refused(pair: Pair, text: bytes, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        answered(pair, text)


@pytest.mark.parametrize("length", [b"4", b"-1x", b"x"])
def test_a_body_that_is_cut_or_of_no_length_is_refused(pair: Pair, length: bytes) -> None:
    answer = answered(pair, b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\nabc")
    with pytest.raises(ValueError, match=r"ends after 3 of 4 bytes|invalid literal"):
        answer.read()


def test_any_name_stands_in_a_request_line(pair: Pair) -> None:
    send_request(pair[0], "POST", "/v1/buses/a b\r\nü\udcff/stop")
    head, _, rest = pair[1].recv(1000).partition(b"\r\n")
    assert head == b"POST /v1/buses/a%20b%0D%0A%C3%BC%FF/stop HTTP/1.0"
    assert rest.endswith(b"\r\n\r\n")


def test_a_request_that_nobody_reads_may_have_an_answer_all_the_same(pair: Pair) -> None:
    pair[1].close()
    send_request(pair[0], "GET", "/")


def test_no_socket_stays_open_if_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connected(str(tmp_path / "none"), 1.0)
