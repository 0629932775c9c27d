"""Answers to publishes, sifted out of the bytes that a server sends. Pure.

nats-py needs three rounds of the event loop for each answer. Everything else goes on to nats-py as it is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SID = "4294967295"
"""Number of the answers' subscription. nats-py counts its own from 1, and passes over messages of others."""
_SID = SID.encode()
_MOST_DIGITS = 20
"""Digits of a sequence number (64 bits); Python refuses to read numbers of some thousands."""
_USUAL = re.compile(rb"MSG \S+\.([0-9]{1,%d}) %s ([0-9]{1,7})\r\n" % (_MOST_DIGITS, _SID))
"""The line before an answer without headers."""
_LONGEST = 1 << 20
"""Bytes of a line, or of an answer. nats-py ends the connection of a server that sends longer ones."""


class Answer(NamedTuple):
    """Answer to a publish."""

    number: int
    """Number that the publish was given; -1 if the answer has none."""
    body: bytes
    status: str | None = None
    """Status of a message without a body, such as 503: nobody stores this subject."""


class AnswerSieve:
    """Bytes in, answers and all other bytes out."""

    def __init__(self) -> None:
        self._rest = b""
        """Beginning of a line or of an answer."""
        self._others = 0
        """Bytes until the end of a message that is no answer."""
        self._lost = False
        """Whether something was not understood: all the rest is for nats-py, which ends the connection."""

    def sift(self, data: bytes) -> tuple[list[Answer], bytes]:
        """Return the answers in the bytes that have arrived, and all other bytes."""
        if self._lost:
            return [], data
        data = self._rest + data
        answers: list[Answer] = []
        at = min(self._others, len(data))
        self._others -= at
        others = [data[:at]]
        while line_end := data.find(b"\n", at) + 1:
            if usual := _USUAL.match(data, at, line_end):
                end = line_end + int(usual[2]) + 2
                if end > len(data):
                    break
                answers.append(Answer(int(usual[1]), data[line_end : end - 2]))
                at = end
                continue
            words = data[at:line_end].split()
            try:
                end = line_end + _payload(words)
            except ValueError:
                self._lost = True
                break
            if end == line_end or words[2] != _SID:
                others.append(data[at:end])
                self._others = max(0, end - len(data))
            elif end <= len(data):
                answers.append(_answer(words, data[line_end : end - 2]))
            else:
                break
            at = min(end, len(data))
        self._rest = data[at:]
        if self._lost or len(self._rest) > _LONGEST:
            self._lost = True
            others.append(self._rest)
            self._rest = b""
        return answers, b"".join(others)


def _payload(words: list[bytes]) -> int:
    """Return the bytes that follow a line, 0 if it begins no message. Raises ValueError if no server sends it.

    `MSG <subject> <number> [answer to] <size>`, or `HMSG … <size of the headers> <size>`.
    """
    kind = words[0] if words else b""
    if kind not in (b"MSG", b"HMSG"):
        return 0
    size, headers = int(words[-1]), int(words[-2]) if kind == b"HMSG" else 0
    fewest_words = 5 if kind == b"HMSG" else 4
    if not 0 <= headers <= size or len(words) < fewest_words:
        raise ValueError(words)
    return size + 2


def _answer(words: list[bytes], payload: bytes) -> Answer:
    text = words[1].rpartition(b".")[2]
    number = int(text) if text.isdigit() and len(text) <= _MOST_DIGITS else -1
    if words[0] == b"MSG":
        return Answer(number, payload)
    size = int(words[-2])
    status = payload[:size].partition(b"\r\n")[0].split()[1:2]
    return Answer(number, payload[size:], status[0].decode(errors="replace") if status else None)
