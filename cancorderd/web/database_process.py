"""The process that decodes signals (`database_reader`), as seen from the status page's process.

It gets the payloads of a tick at once and has a time for its answer. If it takes longer, fails or dies, it is ended, pages
are told why, and it is started anew after a while: the file may have been corrected.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from typing import TYPE_CHECKING, Any, Self

from cancorderd.printable import printable
from cancorderd.python_command import python_command

if TYPE_CHECKING:
    from cancorderd.web.frame_table import Key

_LOAD_S = 60.0
"""The largest public databases take some 15 s on a small computer."""
_ANSWER_S = 10.0
_START_AGAIN_S = 30.0
_LONGEST_ANSWER = 16 << 20
"""Bytes: 256 rows of a hundred signals take 3 MB."""
_ID_MASK = 0xFFFF_FFFF


class DatabaseProcess:
    """Decodes payloads; `reason` says what is wrong with the database, and is empty if all is well."""

    def __init__(self, path: str, *, load_s: float = _LOAD_S, answer_s: float = _ANSWER_S) -> None:
        self.reason = ""
        self._path = path
        self._load_s = load_s
        self._answer_s = answer_s
        self._process: asyncio.subprocess.Process | None = None
        self._start_again_s = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def decode(self, payloads: dict[Key, tuple[int, bytes]]) -> dict[Key, object]:
        """Return message and signals of each payload that the database defines; none while it cannot be used."""
        if self._process is None and not await self._start():
            return {}
        request = [[key & _ID_MASK, flags, data.hex()] for key, (flags, data) in payloads.items()]
        try:
            async with asyncio.timeout(self._answer_s):
                answer = await self._ask(json.dumps(request).encode() + b"\n")
                signals = answer["signals"]
        except (TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
            fact = "decoding took too long" if isinstance(error, TimeoutError) else "its decoder has failed"
            await self._fail(f"{self._path}: {fact}; it is tried again. Correct the database.")
            return {}
        return {key: decoded for key, decoded in zip(payloads, signals, strict=True) if decoded}

    async def _start(self) -> bool:
        loop = asyncio.get_running_loop()
        if loop.time() < self._start_again_s:
            return False
        try:
            self._process = await asyncio.create_subprocess_exec(
                *python_command("cancorderd.web.database_reader", self._path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                limit=_LONGEST_ANSWER,
            )
            async with asyncio.timeout(self._load_s):
                answer = await self._ask(b"")
        except TimeoutError:
            await self._fail(
                f"{self._path}: loading takes longer than {self._load_s:.0f} s. Use a smaller database."
            )
            return False
        except (OSError, ValueError) as error:
            await self._fail(f"{self._path}: its decoder cannot be started ({printable(str(error))}).")
            return False
        if fact := answer.get("error"):
            await self._fail(printable(str(fact)))
            return False
        self.reason = printable(str(answer.get("notice", "")))
        return True

    async def _ask(self, request: bytes) -> dict[str, Any]:
        """Return the next answer. Raises OSError, ValueError."""
        process = self._process
        assert process is not None  # noqa: S101 - the callers have started it
        assert process.stdin is not None  # noqa: S101 - PIPE
        assert process.stdout is not None  # noqa: S101 - PIPE
        process.stdin.write(request)
        await process.stdin.drain()
        line = await process.stdout.readline()
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError("no object")  # noqa: TRY004 - as of any other text that is no answer
        return answer

    async def _fail(self, reason: str) -> None:
        self.reason = reason
        self._start_again_s = asyncio.get_running_loop().time() + _START_AGAIN_S
        await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if process.stdin:
            process.stdin.close()
        await process.wait()
