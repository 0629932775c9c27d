"""A mistake in the configuration, as it is shown: place, fact, remedy. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Problem:
    """One mistake. `line` is missing where it is unknown, `key` where the whole file is meant."""

    path: str
    line: int | None
    key: str | None
    what: str
    remedy: str

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        subject = place if self.key is None else f"{place}: {self.key}"
        return f"{subject}: {self.what}. {self.remedy}"


class ConfigurationError(Exception):
    """The configuration cannot be used. `problems` holds every mistake, by file and line."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def dotted(keys: tuple[str | int, ...]) -> str:
    """`keys` as the file writes them: bus."a b".filters[0].id."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            bare = key if _BARE_KEY.fullmatch(key) else _quoted(key)
            text += f".{bare}" if text else bare
    return text


def written(value: object, *, as_hex: bool = False) -> str:
    """`value` as the file writes it; `as_hex` where it is an arbitration id."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"0x{value:X}" if as_hex and value > 0 else str(value)
        case str():
            return _quoted(value)
        case dict():
            return (
                "{"
                + ", ".join(f"{key} = {written(each, as_hex=key == 'id')}" for key, each in value.items())
                + "}"
            )
        case list() | tuple():
            return "[" + ", ".join(written(each) for each in value) + "]"
        case _:
            return str(value)


def shortened(text: str, limit: int = 60) -> str:
    """`text`, cut where a person has seen enough of it."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
