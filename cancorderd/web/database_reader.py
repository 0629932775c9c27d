"""The process that reads a database of signals and decodes payloads by it, started by `database_process`.

Databases are files of others, and their parsers may take any time and memory: they do so here, within limits. A line of
JSON comes in, a line goes out: first what the database is like, then signals for each request.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from typing import IO

from cancorderd.protocol.frame import Frame
from cancorderd.signals.signal_database import DatabaseUnreadable
from cancorderd.signals.signal_decoder import SignalDecoder

_MEMORY = 1 << 30
"""Bytes of address space: the largest public databases need a third of it."""
LARGEST_FILE = 64 << 20
_NICENESS = 10


def main(path: str, requests: IO[str], answers: IO[str]) -> None:
    """Load the database, then answer until the requests end."""
    try:
        decoder = _loaded(path)
    except (DatabaseUnreadable, MemoryError, RecursionError) as error:
        fact = (
            str(error) or f"{path}: it takes more than {_MEMORY >> 20} MiB of memory. Use a smaller database."
        )
        _answer(answers, {"error": fact})
        return
    _answer(answers, {"notice": " ".join(decoder.notices)})
    for line in requests:
        _answer(answers, {"signals": [_decoded(decoder, *frame) for frame in json.loads(line)]})


def _loaded(path: str) -> SignalDecoder:
    """Return the decoder. Raises DatabaseUnreadable."""
    with contextlib.suppress(OSError):  # which the decoder words
        if (size := os.stat(path).st_size) > LARGEST_FILE:
            raise DatabaseUnreadable(
                f"{path}: {size} bytes; the limit is {LARGEST_FILE}. Use a smaller database."
            )
    return SignalDecoder([path])


def _decoded(decoder: SignalDecoder, arbitration_id: int, flags: int, data: str) -> object:
    return decoder.decode(Frame(0, arbitration_id, flags, bytes.fromhex(data)))


def _answer(answers: IO[str], answer: object) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    with contextlib.suppress(ValueError, OSError):  # macOS refuses some limits
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main(sys.argv[1], sys.stdin, sys.stdout)
