"""What is no log: said at once, without opening it."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
from typing import TYPE_CHECKING, Self

import pytest

from cancorderd.adapters.failures import AdapterAbsent, SettingsRefused
from cancorderd.adapters.log_files import log_file
from cancorderd.adapters.log_files.log_file import open_log
from tests.unit.adapters.log_files.reading import frames_and_flaws, numbered, write

if TYPE_CHECKING:
    from pathlib import Path


def test_special_files_are_named_and_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "folder.db").mkdir()
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket.log")
    named = {
        "pipe.log": "a pipe (FIFO)",
        "folder.db": "a folder",
        "socket.log": "a socket",
        "/dev/null": "a device",
    }
    for name, kind in named.items():
        with pytest.raises(
            SettingsRefused, match=re.escape(f"{name} is {kind}. Name a file with a log in file.")
        ):
            open_log(name)


@pytest.mark.parametrize("suffix", ["log", "asc", "blf", "db", "mf4", "log.gz"])
def test_missing_file_is_absent_and_not_created(tmp_path: Path, suffix: str) -> None:
    for path in (tmp_path / f"none.{suffix}", tmp_path / "nowhere" / f"none.{suffix}"):
        with pytest.raises(AdapterAbsent, match=r"does not exist\. Put the log there"):
            open_log(str(path))
    assert not list(tmp_path.iterdir())


def test_name_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AdapterAbsent, match="does not exist"):
        open_log(str(tmp_path / "file" / "a.log"))


def test_forbidden_file_names_the_user_and_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.log", numbered(1))

    def forbid(*_arguments: object, **_keys: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(log_file, "open", forbid, raising=False)
    with pytest.raises(AdapterAbsent, match=rf"no permission for {path} as user \w+\. .*: namei -l {path}$"):
        open_log(str(path))


def test_mf4_without_asammdf_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cancorderd.adapters.log_files import python_can_log

    monkeypatch.setattr(python_can_log, "is_installed", lambda _name: False)
    for name in ("a.mf4", "a.MF4", "a.mf4.gz", "b"):
        (tmp_path / name).write_bytes(b"MDF     4.10    ")
        with pytest.raises(SettingsRefused, match="pip install asammdf"):
            open_log(str(tmp_path / name))


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.gz", "a.txt"])
def test_unknown_name_and_unknown_contents(tmp_path: Path, name: str) -> None:
    for content in (b"", b"hello\n", b"\x89PNG\r\n\x1a\n"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SettingsRefused, match="neither by its name nor by its beginning"):
            open_log(str(tmp_path / name))


def test_database_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE things (x)")
    made.close()
    with pytest.raises(SettingsRefused, match="no such table: messages: this is no log of python-can"):
        frames_and_flaws(path)


def test_locked_database_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cancorderd.adapters.log_files import database

    monkeypatch.setattr(database, "_BUSY_S", 0.0)
    path = write(tmp_path / "a.db", numbered(3))
    with sqlite3.connect(path, isolation_level=None) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(AdapterAbsent, match="is locked by another program"):
            frames_and_flaws(path)
    writer.close()


def test_row_of_any_type_is_a_flaw_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.db", numbered(3))
    with sqlite3.connect(path) as made:
        made.execute("INSERT INTO messages VALUES ('x', 1, 0, 0, 0, 1, x'11')")
        made.execute("INSERT INTO messages VALUES (1.0, NULL, 0, 0, 0, 1, x'11')")
        made.execute("INSERT INTO messages VALUES (1.0, 1, 0, 0, 0, 8, x'11')")
        made.execute("INSERT INTO messages VALUES (1.0, 1, 0, 0, 0, 1, x'99')")
    made.close()
    frames, flaws = frames_and_flaws(path)
    assert [frame.data[-1] for frame in frames] == [0, 1, 2, 0x99]
    assert [flaw.number for flaw in flaws] == [4, 5, 6]


def test_unreadable_sector_is_the_end_of_the_good_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.log", numbered(5))

    class Broken:
        def __init__(self, *_arguments: object, **_keys: object) -> None:
            self.pieces = [path.read_bytes()]

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_arguments: object) -> None:
            pass

        def close(self) -> None:
            pass

        def read(self, _size: int) -> bytes:
            if not self.pieces:
                raise OSError(5, "Input/output error")
            return self.pieces.pop()

    monkeypatch.setattr(log_file, "open", Broken, raising=False)
    frames, flaws = frames_and_flaws(path)
    assert len(frames) == 5
    assert [flaw.fact for flaw in flaws] == ["the file cannot be read here (Input/output error)"]
