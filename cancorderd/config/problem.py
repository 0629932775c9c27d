"""Mistakes in the configuration as they are shown: place, fact, remedy. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from cancorderd.printable import printable

_LONGEST_KEY = 200
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Problem:
    """A mistake with its place. `line` is None if it is unknown, `key` if the whole file is meant."""

    path: str
    line: int | None
    key: str | None
    fact: str
    remedy: str

    def __post_init__(self) -> None:
        """Make every text printable: it holds keys and values of files, which may be of any length."""
        texts = {
            "path": printable(self.path, None),
            "fact": printable(self.fact),
            "remedy": printable(self.remedy),
        }
        if self.key is not None:
            texts["key"] = printable(self.key, _LONGEST_KEY)
        for field, text in texts.items():
            object.__setattr__(self, field, text)

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        subject = place if self.key is None else f"{place}: {self.key}"
        return f"{subject}: {self.fact}. {self.remedy}"


class ConfigurationError(Exception):
    """The configuration cannot be used. `problems` holds every mistake, by file and line."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def dotted(keys: tuple[str | int, ...]) -> str:
    """Return `keys` as the file writes them: bus."a b".filters[0].id. Long ones are cut."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            bare = shortened(key if _BARE_KEY.fullmatch(key) else _quoted(key))
            text += f".{bare}" if text else bare
    return text


def written(value: object, *, as_hex: bool = False) -> str:
    """Return `value` as the file writes it. `as_hex`: write whole numbers as arbitration ids."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"0x{value:X}" if as_hex and value > 0 else str(value)
        case str():
            return _quoted(value)
        case dict():
            pairs = (f"{key} = {written(item, as_hex=key == 'id')}" for key, item in value.items())
            return "{" + ", ".join(pairs) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(written, value)) + "]"
        case _:
            return str(value)


def shortened(text: str, limit: int = 60) -> str:
    """Return `text`, cut to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
