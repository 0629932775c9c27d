"""Inputs for a parser: the corpus, and mutations of it; an input that reaches new lines joins the corpus in use.

Which lines a parser executes is observed, so that mutations get further and further into it.
"""

from __future__ import annotations

import hashlib
import random
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType
    from typing import Any

LONGEST = 1 << 15
"""Bytes of an input."""
_EDGES = (0, 1, 7, 8, 15, 16, 63, 64, 65, 127, 128, 254, 255)


class Mutations:
    """Endless inputs of one parser, the same for the same `seed` as long as the parser is the same."""

    def __init__(self, corpus: list[bytes], seed: str) -> None:
        self.pool = list(corpus) or [b""]
        self.new: list[bytes] = []
        """Inputs that are not in the corpus and have reached new lines."""
        self._chance = random.Random(seed)
        self._unmodified = list(corpus)
        self._lines: set[tuple[str, int]] = set()

    @property
    def corpus_left(self) -> bool:
        """Whether a part of the corpus has not been returned yet."""
        return bool(self._unmodified)

    def next_input(self) -> bytes:
        """Return the next input: first the corpus as it is, then mutations."""
        if self._unmodified:
            return self._unmodified.pop()
        chance = self._chance
        data = bytearray(chance.choice(self.pool))
        for _ in range(1 << chance.randrange(4)):
            self._mutate(data)
        return bytes(data[:LONGEST])

    def _mutate(self, data: bytearray) -> None:
        chance = self._chance
        at = chance.randrange(len(data) + 1)
        length = chance.choice((1, 2, 4, 8, 32, 100))
        match chance.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[at % len(data)] = chance.choice(_EDGES)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = chance.randbytes(length)
            case 4:
                data[at:at] = data[at : at + length] * chance.choice((1, 2, 50))
            case 5:
                other = chance.choice(self.pool)
                start = chance.randrange(len(other) + 1)
                data[at : at + length] = other[start : start + length]
            case _:
                data[at : at + 4] = chance.choice((b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80"))

    def observe(self, data: bytes, lines: set[tuple[str, int]]) -> None:
        """Take note of the lines that an input has reached."""
        if lines <= self._lines:
            return
        self._lines |= lines
        if data not in self.pool:
            self.pool.append(data)
            self.new.append(data)


def lines_of(run: Callable[[], object], package: str) -> set[tuple[str, int]]:
    """Call `run`, and return the lines of files below `package` that this thread has executed. Raises as `run` does."""
    lines: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(package):
            return None
        if event == "line":
            lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return lines


def stored(folder: Path) -> list[bytes]:
    """Return the corpus in a folder."""
    return [file.read_bytes() for file in sorted(folder.glob("*"))]


def store(folder: Path, inputs: list[bytes]) -> None:
    """Add inputs to the corpus in a folder, each under its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
