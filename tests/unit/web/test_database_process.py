"""The process that decodes signals: what it answers, and what happens if it cannot."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cancorderd.web.database_process import DatabaseProcess
from cancorderd.web.frame_table import row_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ENGINE = str(Path(__file__).parents[2] / "support/engine.dbc")
KEY = row_key(0x123, 0)
OTHER = row_key(0x7FF, 0)


def run(use: Callable[[DatabaseProcess], Awaitable[None]], path: str, **limits: float) -> None:
    async def using() -> None:
        async with DatabaseProcess(path, **limits) as database:
            await use(database)

    asyncio.run(using())


def test_payloads_of_a_tick_are_decoded_together(tmp_path: Path) -> None:
    path = tmp_path / "a.dbc"
    path.write_text('VERSION ""\nBU_: A\nBO_ 291 Door: 1 A\n SG_ Open : 0|1@1+ (1,0) [0|1] "" A\n')

    async def use(database: DatabaseProcess) -> None:
        found = await database.decode({KEY: (0, b"\x01"), OTHER: (0, b"\x02")})
        assert found == {KEY: {"message": "Door", "signals": {"Open": {"value": 1}}}}
        assert database.reason == ""
        assert await database.decode({KEY: (0, b"\x00")}) == {
            KEY: {"message": "Door", "signals": {"Open": {"value": 0}}}
        }

    run(use, str(path))


def test_a_missing_database_is_named(tmp_path: Path) -> None:
    async def use(database: DatabaseProcess) -> None:
        assert await database.decode({KEY: (0, b"\x01")}) == {}
        assert database.reason.endswith(
            "gone.dbc: No such file or directory. Correct the name of the database."
        )

    run(use, str(tmp_path / "gone.dbc"))


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.dbc"
    path.touch()
    os.truncate(path, 65 << 20)

    async def use(database: DatabaseProcess) -> None:
        assert await database.decode({KEY: (0, b"\x01")}) == {}
        assert "bytes; the limit is" in database.reason

    run(use, str(path))


def test_a_database_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless.dbc")

    async def use(database: DatabaseProcess) -> None:
        assert await database.decode({KEY: (0, b"\x01")}) == {}
        assert "loading takes longer than" in database.reason

    run(use, str(tmp_path / "endless.dbc"), load_s=0.2)


def test_a_process_that_dies_is_reported_and_not_started_at_once() -> None:
    async def use(database: DatabaseProcess) -> None:
        await database.decode({KEY: (0, b"\x01")})
        process = database._process
        assert process
        process.kill()
        await process.wait()
        assert await database.decode({KEY: (0, b"\x01")}) == {}
        assert database.reason.endswith("its decoder has failed; it is tried again. Correct the database.")
        assert await database.decode({KEY: (0, b"\x01")}) == {}

    run(use, ENGINE)
