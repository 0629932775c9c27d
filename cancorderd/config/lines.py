"""On which line of a TOML text a key stands. Pure; `tomllib` tells values only.

The text is walked as far as its structure goes (headers, keys, brackets, strings, comments), without
looking at what values mean. It should be one that `tomllib` accepts; in any other, the walk ends
where it is lost and what came before is known. Lines count from 1.
"""

from __future__ import annotations

import contextlib
import functools
import re
import tomllib

KeyPath = tuple[str | int, ...]
"""Keys from the top, and indices into arrays."""

_MAX_DEPTH = 100
"""Brackets in brackets; a text deeper than this is no configuration."""

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_VALUE = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # up to two quotes may stand before the closing three
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|[^\s,\]}#\"'\[{][^,\]}#\n]*",
    re.DOTALL,
)


def line_of(text: str, path: KeyPath) -> int | None:
    """The line of `path`, or of the nearest thing around it that the text holds; else None."""
    known = positions(text)
    for end in range(len(path), 0, -1):
        if (at := known.get(path[:end])) is not None:
            return at
    return None


@functools.lru_cache(maxsize=8)
def positions(text: str) -> dict[KeyPath, int]:
    """The line of every table, key and array item in `text`, where each stands first."""
    walk = _Walk(text)
    with contextlib.suppress(_LostError):
        walk.document()
    return walk.lines


class _LostError(Exception):
    """The text goes on in a way that the walk does not follow."""


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self._newlines_before = 0
        self._counted_to = 0
        self._tables: dict[KeyPath, int] = {}
        """Index of the latest element of each array of tables."""

    def document(self) -> None:
        table: KeyPath = ()
        while not self._ended():
            table = self._header() if self._take("[") else self._pair(table, 0)

    def _header(self) -> KeyPath:
        many = self._take("[")
        line = self._line()
        keys = self._keys()
        self._need("]]" if many else "]")
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._note((*path, key), line)
            if path in self._tables:
                path = (*path, self._tables[path])
        path = self._note((*path, keys[-1]), line)
        if not many:
            # The header is a better place for a table than an earlier mention of one inside it.
            self.lines[path] = line
            return path
        self._tables[path] = self._tables.get(path, -1) + 1
        return self._note((*path, self._tables[path]), line)

    def _pair(self, table: KeyPath, depth: int) -> KeyPath:
        """Walks `key = value`; returns `table`, which goes on."""
        line = self._line()
        path = table
        for key in self._keys():
            path = self._note((*path, key), line)
        self._need("=")
        self._value(path, depth)
        return table

    def _value(self, path: KeyPath, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise _LostError
        self._match(_BLANK)
        if self._take("["):
            self._array(path, depth)
        elif self._take("{"):
            while not self._closed("}"):
                self._pair(path, depth + 1)
        else:
            self._match(_VALUE)

    def _array(self, path: KeyPath, depth: int) -> None:
        index = 0
        while not self._closed("]"):
            self._value(self._note((*path, index), self._line()), depth + 1)
            index += 1

    def _closed(self, bracket: str) -> bool:
        self._match(_SPACE)
        if self._take(","):
            self._match(_SPACE)
        return self._take(bracket)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._match(_BLANK)
            keys.append(_plain(self._match(_KEY)))
            self._match(_BLANK)
            if not self._take("."):
                return keys

    def _note(self, path: KeyPath, line: int) -> KeyPath:
        self.lines.setdefault(path, line)
        return path

    def _line(self) -> int:
        self._newlines_before += self.text.count("\n", self._counted_to, self.at)
        self._counted_to = self.at
        return self._newlines_before + 1

    def _ended(self) -> bool:
        self._match(_SPACE)
        return self.at == len(self.text)

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _LostError
        self.at = found.end()
        return found.group()

    def _take(self, token: str) -> bool:
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise _LostError


def _plain(key: str) -> str:
    """`key` without its quotes and escapes."""
    if key[0] not in "\"'":
        return key
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except tomllib.TOMLDecodeError:
        raise _LostError from None
