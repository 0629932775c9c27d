"""Reading the main file and its drop-ins: from a path to a text and its tables.

No meaning of keys here, except `include`.
"""

from __future__ import annotations

import ast
import glob
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cancorderd.config.lines import KeyPath, line_of
from cancorderd.config.problem import Problem, dotted, shortened, written

MAX_BYTES = 4 << 20
"""More is no configuration: a device or a log file, given by mistake."""

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_KEYS = re.compile(r"\((?:'[^']*',? ?)+\)")


@dataclass(frozen=True)
class File:
    """One file that was read: it knows on which line each of its keys stands."""

    path: str
    text: str
    tables: dict[str, Any]

    @property
    def folder(self) -> Path:
        return Path(self.path).absolute().parent

    def line(self, keys: KeyPath) -> int | None:
        return line_of(self.text, keys)

    def problem(self, keys: KeyPath, what: str, remedy: str) -> Problem:
        return Problem(self.path, self.line(keys), dotted(keys), what, remedy)


def read(path: str) -> File | Problem:
    """The file at `path`, or why it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return Problem(path, None, None, *_unreadable(error))
    if len(data) > MAX_BYTES:
        what = f"the file has more than {MAX_BYTES >> 20} MiB"
        return Problem(path, None, None, what, "Name a configuration file.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{data[error.start]:02X} is not UTF-8 text"
        return Problem(path, line, None, what, "Save the file as UTF-8.")
    try:
        return File(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        return _not_toml(path, text, str(error))
    except RecursionError:
        return Problem(path, None, None, "the brackets are nested too deeply", "Use fewer of them.")


def _unreadable(error: OSError) -> tuple[str, str]:
    match error:
        case FileNotFoundError():
            return "there is no such file", "Create it from the example cancorder.toml, or name another."
        case PermissionError():
            return "this user may not read it", "Change its owner or mode, or run as another user."
        case IsADirectoryError():
            return "this is a folder", "Name a file."
        case _:
            return f"it cannot be read ({error.strerror})", "Check the file and its disk."


def _not_toml(path: str, text: str, message: str) -> Problem:
    """Tomllib's message, with its place as a line and key tuples as keys."""
    place = _PLACE.search(message)
    said = message[: place.start()] if place else message
    said = _KEYS.sub(lambda keys: dotted(ast.literal_eval(keys.group())), said)
    end = text.count("\n") + (not text.endswith("\n"))
    line = int(place[1]) if place and place[1] else max(end, 1)
    column = f", column {place[2]}" if place and place[2] else ""
    remedy = {
        "Invalid value": 'Put text in quotes: channel = "can0".',
        "Cannot overwrite a value": "Remove a key or table that stands here for the second time.",
    }.get(said, "Remove the second one." if said.endswith("twice") else "Correct the line.")
    return Problem(path, line, None, f"this is not TOML: {said[:1].lower()}{said[1:]}{column}", remedy)


def drop_ins(main: File) -> tuple[list[File], list[Problem]]:
    """The files that `include` names, each once: pattern by pattern, in the order of their names."""
    patterns = main.tables.get("include", [])
    example = 'Write include = ["/etc/cancorder.d/*.toml"].'
    if not isinstance(patterns, list):
        return [], [main.problem(("include",), f"{shortened(written(patterns))} is not a list", example)]
    files: dict[str, File] = {}
    problems = []
    for at, pattern in enumerate(patterns):
        if not isinstance(pattern, str) or not pattern or "\0" in pattern:
            what = f"{shortened(written(pattern))} is not a path"
            problems.append(main.problem(("include", at), what, example))
            continue
        found, unreadable = _matches(main, pattern)
        if not glob.has_magic(pattern) and _absent(found[0]):
            what = f"there is no file {found[0]}"
            problems.append(main.problem(("include", at), what, "Create it, or remove it from the list."))
            continue
        if unreadable:
            what = f"this user may not list the folder of {shortened(written(pattern))}"
            problems.append(main.problem(("include", at), what, "Change its owner or mode."))
        for path in found:
            identity = os.path.realpath(path)
            if identity in files or identity == os.path.realpath(main.path):
                continue
            match read(path):
                case File() as file:
                    files[identity] = file
                case problem:
                    problems.append(problem)
    return list(files.values()), problems


def _matches(main: File, pattern: str) -> tuple[list[str], bool]:
    """The files that `pattern` means, and whether there may be more that this user cannot see."""
    whole = main.folder / pattern
    if not glob.has_magic(pattern):
        return [str(whole)], False
    # pathlib's glob finds hidden files too, such as the lock files of editors.
    names = glob.glob(pattern, root_dir=main.folder)
    return sorted(str(main.folder / name) for name in names), _forbidden(whole.parent)


def _absent(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # reading it tells why
    return False


def _forbidden(folder: Path) -> bool:
    """Whether `folder` is there but its names are kept from this user, which glob passes over."""
    try:
        os.scandir(folder).close()
    except PermissionError:
        return True
    except OSError:
        return False
    return False
