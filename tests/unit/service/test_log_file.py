from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cancorderd.service import log_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "levelname": "INFO"})


@pytest.fixture
def handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[log_file.LogFileHandler]:
    """A handler whose standard error and output are others than the test's."""
    log = tmp_path / "log"
    own = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    monkeypatch.setattr(log_file, "STANDARD_ERROR", own)
    output = os.dup(own)
    monkeypatch.setattr(log_file, "STANDARD_OUTPUT", output)
    handler = log_file.LogFileHandler(str(log), "utf-8")
    yield handler
    os.close(own)
    os.close(output)


def test_a_file_that_was_renamed_is_replaced_by_a_new_one(
    handler: log_file.LogFileHandler, tmp_path: Path
) -> None:
    log, old = tmp_path / "log", tmp_path / "log.0"
    handler.emit(record("one"))
    log.rename(old)
    handler.emit(record("two"))
    handler.emit(record("three"))
    assert old.read_text() == "one\n"
    assert log.read_text() == "two\nthree\n"


def test_a_file_that_the_rotating_program_has_made_is_continued(
    handler: log_file.LogFileHandler, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.rename(tmp_path / "log.0")
    log.write_text("turned over\n")
    handler.emit(record("two"))
    assert log.read_text() == "turned over\ntwo\n"


@pytest.mark.parametrize("obstacle", ["folder", "link"])
def test_without_a_new_file_the_old_one_gets_the_record(
    handler: log_file.LogFileHandler, tmp_path: Path, obstacle: str
) -> None:
    log, old = tmp_path / "log", tmp_path / "log.0"
    log.rename(old)
    if obstacle == "folder":
        log.mkdir()
    else:
        log.symlink_to(tmp_path / "elsewhere")  # a user's, in place of the log of a daemon that runs as root
    handler.emit(record("two"))
    assert old.read_text() == "two\n"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("named", "lines"), [(True, "two"), (False, "")])
def test_only_the_file_that_the_variable_names_is_followed(tmp_path: Path, named: bool, lines: str) -> None:
    log, old = tmp_path / "log", tmp_path / "log.0"
    environment = {**os.environ, log_file.VARIABLE: str(log if named else tmp_path / "other")}
    program = (
        "import logging, os, sys\n"
        "from cancorderd.service import log\n"
        "output = log.set_up('info')\n"
        f"os.rename({str(log)!r}, {str(old)!r})\n"
        "logging.getLogger('cancorderd').info('two')\n"
        "output.close()\n"
    )
    with log.open("a") as stream:
        subprocess.run(
            [sys.executable, "-c", program], env=environment, stderr=stream, check=True, timeout=60
        )
    assert (log.read_text() if log.exists() else "").strip().endswith(lines)
    assert log.exists() == named
