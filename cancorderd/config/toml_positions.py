"""Positions of keys in a TOML text: the line of each, and the statements that are beyond the limits. Pure.

`tomllib` keeps no positions and has no limits: a long dotted key takes it minutes, and deep brackets or a long number
end it. Therefore the text is scanned first, once and in linear time, and `readable` leaves out the statements that are
beyond the limits. The scanner follows the structure of the text (headers, keys, brackets, strings, comments) and ignores
the meaning of values. If `tomllib` would reject the text, the scanner stops at the first thing that it does not
understand, and the positions before it are known. Lines count from 1.
"""

from __future__ import annotations

import re
import tomllib
from typing import NamedTuple

KeyPath = tuple[str | int, ...]
"""Keys from the top, and indices into arrays."""

MAX_DEPTH = 32
"""Keys and indices that lead to a value; the deepest in the manual are five."""
MAX_LITERAL = 1000
"""Characters of a number. Python refuses to read whole numbers of more than 4,300 digits."""
MAX_KEYS = 50_000
"""Keys and list items of a text, each of which takes memory and time; 1,000 buses have some 10,000."""

_SHOWN_DEPTH = 3
"""Keys that name a statement beyond MAX_DEPTH, such as bus.NAME.options."""

_SPACE = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_BLANK = re.compile(r"[ \t]*")
# Possessive (*+): without it, the expression stores a place to return to for each character.
_STRING = (
    r'"""(?:[^"\\]++|\\.|"{1,2}+(?!"))*+"{3,5}'  # up to two quotes may stand before the closing three
    r"|'''(?:[^']++|'{1,2}+(?!'))*+'{3,5}"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'"
)
_KEY_FORMS = r"""[A-Za-z0-9_-]++|"(?:[^"\\\n]++|\\.)*+"|'[^'\n]*+'"""
_KEY = re.compile(_KEY_FORMS)
_MORE_KEYS = re.compile(rf"(?:[ \t]*+\.[ \t]*+(?:{_KEY_FORMS}))*+")
_VALUE = re.compile(_STRING + r"|[^\s,\]}#\"'\[{][^,\]}#\n]*+", re.DOTALL)
_BRACKETS_OR_OTHER = re.compile(_STRING + r"|#[^\n]*+|[\[{]++|[\]}]++|[^\[\]{}\"'#]++", re.DOTALL)


class BeyondLimits(NamedTuple):
    """A statement (a key with its value, or a header with all below it) that is too long or too deep to be read."""

    keys: KeyPath
    line: int
    fact: str
    remedy: str
    start: int
    end: int


class Positions(NamedTuple):
    """The line of every table, key and array item of a text, at its first mention."""

    lines: dict[KeyPath, int]
    beyond: list[BeyondLimits]
    mentions: int
    """Number of the text's keys and list items; a repeated one counts again."""
    too_many_at: int | None = None
    """The line where a text with more than MAX_KEYS keys was left."""

    def line_of(self, path: KeyPath) -> int | None:
        """Return the line of `path`, or else of the innermost table around it that is in the text, or else None."""
        for end in range(len(path), 0, -1):
            if (at := self.lines.get(path[:end])) is not None:
                return at
        return None


def positions(text: str) -> Positions:
    """Scan a text. Takes time in proportion to its length."""
    return _Scanner(text).document()


def readable(text: str, beyond: list[BeyondLimits]) -> str:
    """Return the text without these statements. All others keep their lines."""
    pieces = []
    copied_to = 0
    for statement in beyond:
        pieces += [
            text[copied_to : statement.start],
            "\n" * text.count("\n", statement.start, statement.end),
        ]
        copied_to = statement.end
    return "".join([*pieces, text[copied_to:]])


class _LostError(Exception):
    """The text continues in a way that the scanner does not understand."""


class _TooManyError(Exception):
    """The text has more than MAX_KEYS keys."""


class _Limit(NamedTuple):
    """A limit that the current statement exceeds: the place, fact and remedy."""

    keys: KeyPath
    line: int
    fact: str
    remedy: str


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.beyond: list[BeyondLimits] = []
        self._newlines_before = 0
        self._counted_to = 0
        self._tables: dict[KeyPath, int] = {}
        """Index of the last element of each array of tables."""
        self._limit: _Limit | None = None
        """The limit that the current statement exceeds."""
        self._mentions = 0
        """Keys and list items up to here, with those that are repeated or passed over."""

    def document(self) -> Positions:
        try:
            self._statements()
        except _TooManyError:
            return Positions(self.lines, [], self._mentions, self._line())
        return Positions(self.lines, self.beyond, self._mentions)

    def _statements(self) -> None:
        """Scan to the end, or to the first thing that is not understood."""
        start = 0
        table: KeyPath = ()
        header_limit: _Limit | None = None
        try:
            while not self._ended():
                start = self.at
                if self._accept("["):
                    self._limit = None
                    table = self._header()
                    header_limit = self._limit
                else:
                    self._limit = header_limit
                    table = self._pair(table)
                self._leave_out(start, self.at)
        except _LostError:
            self._leave_out(start, len(self.text))

    def _leave_out(self, start: int, end: int) -> None:
        """Leave the current statement out if it exceeds a limit."""
        if self._limit is None:
            return
        known = self.beyond[-1] if self.beyond else None
        if known and (known.keys, known.line) == (self._limit.keys, self._limit.line):
            self.beyond[-1] = known._replace(end=end)  # a statement below a header that is left out
        else:
            self.beyond.append(BeyondLimits(*self._limit, start, end))

    def _header(self) -> KeyPath:
        many = self._accept("[")
        line = self._line()
        keys = self._keys((), line)
        self._expect("]]" if many else "]")
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._note((*path, key), line)
            if path in self._tables:
                path = (*path, self._tables[path])
        path = self._note((*path, keys[-1]), line)
        if not many:
            # The header is a better position of a table than an earlier mention of a table inside it.
            self.lines[path] = line
            return path
        self._tables[path] = self._tables.get(path, -1) + 1
        return self._note((*path, self._tables[path]), line)

    def _pair(self, table: KeyPath) -> KeyPath:
        """Scan `key = value` and return `table`, which continues."""
        line = self._line()
        path = table
        for key in self._keys(table, line):
            path = self._note((*path, key), line)
        self._expect("=")
        self._value(path)
        return table

    def _value(self, path: KeyPath) -> None:
        self._match(_BLANK)
        if len(path) >= MAX_DEPTH and self.text[self.at : self.at + 1] in ("[", "{"):
            self._brackets(path)
        elif self._accept("["):
            self._array(path)
        elif self._accept("{"):
            while not self._closed("}"):
                self._pair(path)
        else:
            value = self._match(_VALUE)
            if value[0] not in "\"'" and len(value) > MAX_LITERAL and len(value.rstrip()) > MAX_LITERAL:
                fact = f"the value has more than {MAX_LITERAL} characters"
                self._exceed(_Limit(path, self._line(), fact, "Write a shorter number, or text in quotes."))

    def _array(self, path: KeyPath) -> None:
        index = 0
        while not self._closed("]"):
            self._value(self._note((*path, index), self._line()))
            index += 1

    def _brackets(self, path: KeyPath) -> None:
        """Pass over a list or table that is nested too deeply."""
        line, depth = self._line(), 0
        while True:
            token = self._match(_BRACKETS_OR_OTHER)
            if token[0] in "[{":
                depth += len(token)
            elif token[0] in "]}":
                closed = min(depth, len(token))
                self.at -= len(token) - closed
                depth -= closed
            if not depth:
                break
            self._count()
        fact = f"the brackets are nested more than {MAX_DEPTH} levels deep"
        self._exceed(_Limit(path[:_SHOWN_DEPTH], line, fact, "Use fewer of them."))

    def _closed(self, bracket: str) -> bool:
        self._match(_SPACE)
        if self._accept(","):
            self._match(_SPACE)
        return self._accept(bracket)

    def _keys(self, table: KeyPath, line: int) -> list[str]:
        """Return the parts of a dotted key, no more than lead to MAX_DEPTH."""
        keys: list[str] = []
        while True:
            self._match(_BLANK)
            keys.append(_plain(self._match(_KEY)))
            if len(table) + len(keys) > MAX_DEPTH:
                fact = f"the key leads more than {MAX_DEPTH} levels deep"
                self._exceed(_Limit((*table, *keys)[:_SHOWN_DEPTH], line, fact, "Use fewer dots."))
                self._match(_MORE_KEYS)
            self._match(_BLANK)
            if not self._accept("."):
                return keys

    def _exceed(self, limit: _Limit) -> None:
        self._limit = self._limit or limit

    def _note(self, path: KeyPath, line: int) -> KeyPath:
        self.lines.setdefault(path, line)
        self._count()
        return path

    def _count(self) -> None:
        self._mentions += 1
        if self._mentions > MAX_KEYS:
            raise _TooManyError

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

    def _accept(self, token: str) -> bool:
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise _LostError


def _plain(key: str) -> str:
    """Return `key` without its quotes and escapes."""
    if key[0] not in "\"'":
        return key
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except tomllib.TOMLDecodeError:
        raise _LostError from None
