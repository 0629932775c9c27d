"""Configuration files: the main file and its drop-ins, from a path to a text and its tables.

The only key with a meaning here is `include`. Only regular files are read, since reading anything else may take for
ever; size, number and depth of what they hold are bounded, so that no file costs much time or memory.
"""

from __future__ import annotations

import ast
import glob
import itertools
import os
import re
import shlex
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cancorderd.config.problem import Problem, dotted, shortened, written
from cancorderd.config.toml_positions import MAX_KEYS, KeyPath, Positions, positions, readable
from cancorderd.hidden_folders import service_hides

MAX_BYTES = 4 << 20
"""A larger file is no configuration: a device or a log file, given by mistake."""
MAX_FILES = 1000
"""Files that `include` may match, and the patterns that it may list."""
MAX_WILDCARD_PARTS = 3
"""Parts of a pattern with wildcards: each multiplies the folders that are listed, until it is the whole disk."""
_PATH_MAX = 4096
"""Bytes of a path (PATH_MAX of Linux); a longer one names no file."""
_READ_BYTES = 1 << 18
_SHOWN_FACT = 300
"""Characters of a message of tomllib, which may repeat the file's keys."""

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_KEYS = re.compile(r"\((?:'[^']*',? ?)+\)")
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class File:
    """A file that was read, and the line of each of its keys."""

    path: str
    folder: Path
    size: int
    tables: dict[str, Any]
    positions: Positions

    @property
    def is_blank(self) -> bool:
        """Whether the file holds nothing but blanks and comments."""
        return not self.tables and not self.positions.beyond

    @property
    def problems(self) -> list[Problem]:
        """The statements that are beyond the limits; `tables` are without them."""
        return [
            Problem(self.path, statement.line, dotted(statement.keys), statement.fact, statement.remedy)
            for statement in self.positions.beyond
        ]

    @property
    def whole_path(self) -> str:
        return os.path.normpath(self.folder / Path(self.path).name)

    def leaves_out(self, keys: KeyPath) -> bool:
        """Return whether these keys lead to a statement that is beyond the limits."""
        return any(keys[: len(statement.keys)] == statement.keys for statement in self.positions.beyond)

    def line(self, keys: KeyPath) -> int | None:
        return self.positions.line_of(keys)

    def problem(self, keys: KeyPath, fact: str, remedy: str) -> Problem:
        return Problem(self.path, self.line(keys), dotted(keys), fact, remedy)


class _NotAFileError(Exception):
    """The path leads to something that is not a regular file; `str()` names its kind."""


def read(path: str, *, pipe: bool = False) -> File | Problem:
    """Return the file at `path`, or the problem that prevents reading it. `pipe`: the path may name a pipe."""
    try:
        folder = Path(path).absolute().parent
        data = _content(path, pipe=pipe)
    except OSError as error:
        return Problem(path, None, None, *_unreadable(path, error))
    except _NotAFileError as error:
        return Problem(path, None, None, f"this is {error}", "Name a file, or remove this from its folder.")
    except ValueError:
        return Problem(path, None, None, "no path holds a NUL character", "Name a file.")
    if len(data) > MAX_BYTES:
        fact = f"the file has more than {MAX_BYTES >> 20} MiB"
        return Problem(path, None, None, fact, "Name a configuration file.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        fact = f"byte 0x{data[error.start]:02X} is not UTF-8 text"
        return Problem(path, line, None, fact, "Save the file as UTF-8.")
    found = positions(text)
    if found.too_many_at is not None:
        fact = f"the file has more than {MAX_KEYS} keys and values"
        return Problem(path, found.too_many_at, None, fact, "Remove those that are not needed.")
    try:
        return File(path, folder, len(data), tomllib.loads(readable(text, found.beyond)), found)
    except tomllib.TOMLDecodeError as error:
        return _not_toml(path, text, str(error))
    except RecursionError:
        return Problem(path, None, None, "the brackets are nested too deeply", "Use fewer of them.")


def _content(path: str, *, pipe: bool) -> bytes:
    """Return the bytes of a file, at most one more than MAX_BYTES. Raises OSError, _NotAFileError or ValueError."""

    def check(status: os.stat_result) -> bool:
        """Return whether this is a pipe that may be read."""
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFIFO and pipe:
            return True
        if kind in _KINDS:
            raise _NotAFileError(_KINDS[kind])
        return False

    # Looked at before it is opened, since opening a device may set it off, and afterwards, since it may have changed.
    may_wait = check(os.stat(path))
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | (0 if may_wait else os.O_NONBLOCK)
    descriptor = os.open(path, flags)
    try:
        check(os.fstat(descriptor))
        data = bytearray()
        while len(data) <= MAX_BYTES and (piece := os.read(descriptor, _READ_BYTES)):
            data += piece
    finally:
        os.close(descriptor)
    return bytes(data[: MAX_BYTES + 1])


def _unreadable(path: str, error: OSError) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError | PermissionError) and (
        hidden := service_hides(os.path.abspath(path))
    ):
        return hidden.rstrip("."), "Keep the configuration in /etc."
    match error:
        case FileNotFoundError():
            folder = os.path.dirname(os.path.abspath(path))
            into = ">" if os.access(folder, os.W_OK) else "| sudo tee "
            command = f"cancorderd --example {into}{shlex.quote(path)}"
            return "there is no such file", f"Create it from the example, or name another: {command}"
        case PermissionError():
            return "this user may not read it", "Change its owner or mode, or run as another user."
        case IsADirectoryError():
            return "this is a folder", "Name a file."
        case _:
            return f"it cannot be read ({error.strerror})", "Check the file and its disk."


def _not_toml(path: str, text: str, message: str) -> Problem:
    """Return tomllib's message as a problem, with its place as a line and key tuples as keys."""
    place = _PLACE.search(message)
    text_only = message[: place.start()] if place else message
    fact = shortened(_KEYS.sub(lambda keys: _as_written(keys.group()), text_only), _SHOWN_FACT)
    end = text.count("\n") + (not text.endswith("\n"))
    line = int(place[1]) if place and place[1] else max(end, 1)
    column = f", column {place[2]}" if place and place[2] else ""
    remedy = {
        "Invalid value": 'Put text in quotes: channel = "can0".',
        "Cannot overwrite a value": "Remove the key or table that is here for the second time.",
    }.get(fact, "Remove the second one." if fact.endswith("twice") else "Correct the line.")
    return Problem(path, line, None, f"this is not TOML: {fact[:1].lower()}{fact[1:]}{column}", remedy)


def _as_written(keys: str) -> str:
    """Return a tuple of keys in a message of tomllib as the file writes it."""
    try:
        return dotted(ast.literal_eval(keys))
    except (ValueError, SyntaxError, TypeError):
        return keys


def drop_ins(main: File) -> tuple[list[File], list[Problem]]:
    """Return the files that `include` names, each once, pattern by pattern and sorted by name, and all problems."""
    patterns = main.tables.get("include", [])
    example = 'Write include = ["/etc/cancorder.d/*.toml"].'
    if not isinstance(patterns, list):
        return [], [main.problem(("include",), f"{shortened(written(patterns))} is not a list", example)]
    if len(patterns) > MAX_FILES:
        fact = f"{len(patterns)} items are listed; the limit is {MAX_FILES}"
        return [], [main.problem(("include",), fact, example)]
    files: dict[str, File] = {}
    problems = []
    matched = 0
    size, keys = main.size, main.positions.mentions
    for at, pattern in enumerate(patterns):
        if not isinstance(pattern, str) or not pattern or "\0" in pattern or len(pattern) > _PATH_MAX:
            fact = f"{shortened(written(pattern))} is not a path"
            problems.append(main.problem(("include", at), fact, example))
            continue
        if sum(map(glob.has_magic, Path(pattern).parts)) > MAX_WILDCARD_PARTS:
            fact = f"{shortened(written(pattern))} has wildcards in more than {MAX_WILDCARD_PARTS} parts"
            problems.append(main.problem(("include", at), fact, "Name the folders."))
            continue
        found, unreadable = _matches(main, pattern)
        if not glob.has_magic(pattern) and _absent(found[0]):
            fact = f"there is no file {shortened(found[0], _PATH_MAX)}"
            problems.append(main.problem(("include", at), fact, "Create it, or remove it from the list."))
            continue
        matched += len(found)
        if matched > MAX_FILES:
            fact = f"with {shortened(written(pattern))}, more than {MAX_FILES} files match"
            problems.append(main.problem(("include", at), fact, "Write a pattern that matches fewer files."))
            return list(files.values()), problems
        if unreadable:
            fact = f"this user may not list the folder of {shortened(written(pattern))}"
            problems.append(main.problem(("include", at), fact, "Change its owner or mode."))
        for path in found:
            identity = os.path.realpath(path)
            if identity in files or identity == os.path.realpath(main.path):
                continue
            match read(path):
                case File() as file:
                    files[identity] = file
                case problem:
                    problems.append(problem)
                    continue
            size += file.size
            keys += file.positions.mentions
            if size > MAX_BYTES or keys > MAX_KEYS:
                fact = (
                    f"the files have more than {MAX_BYTES >> 20} MiB or {MAX_KEYS} keys and values together"
                )
                problems.append(main.problem(("include", at), fact, "Include fewer files."))
                return list(files.values()), problems
    return list(files.values()), problems


def _matches(main: File, pattern: str) -> tuple[list[str], bool]:
    """Return the files that match `pattern`, and whether there may be more that this user cannot see."""
    whole = main.folder / pattern
    if not glob.has_magic(pattern):
        return [str(whole)], False
    # pathlib's glob finds hidden files too, such as the lock files of editors.
    names = itertools.islice(glob.iglob(pattern, root_dir=main.folder), MAX_FILES + 1)
    return sorted(str(main.folder / name) for name in names), _forbidden(whole.parent)


def _absent(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # reading it gives the reason
    return False


def _forbidden(folder: Path) -> bool:
    """Return whether `folder` exists but this user may not list it, which glob ignores."""
    try:
        os.scandir(folder).close()
    except PermissionError:
        return True
    except OSError:
        return False
    return False
