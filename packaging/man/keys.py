"""The keys of the configuration, from the settings classes.

They become sections of cancorder.toml(5) and the tables of the guide.
"""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import roff

from cancorderd.adapters import registry
from cancorderd.config.bus_settings import BusSettings, Filter
from cancorderd.config.configuration import DaemonSettings
from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.config.problem import written
from cancorderd.config.record_settings import RecordSettings
from cancorderd.config.schema import Settings, TableKey, keys
from cancorderd.config.web_settings import WebSettings

_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", dict: "table"}


class Key(NamedTuple):
    """A key of a table, in words."""

    name: str
    facts: str
    """Kind of value, unit, and default or "required"."""
    description: str
    example: str
    """A line of TOML, or empty."""


def daemon() -> str:
    return _entries(keys(DaemonSettings))


def web() -> str:
    return _entries(keys(WebSettings))


def forward() -> str:
    return _entries(keys(ForwardSettings))


def every_bus() -> str:
    filters = _inner(f"Each of {roff.bold('filters')} is a table with these keys:", Filter)
    record = _inner(
        f"The table {roff.bold('record')}, which adds to that of [defaults], has:", RecordSettings
    )
    return "\n".join([_entries(keys(BusSettings)), filters, record])


def interfaces() -> str:
    """One subsection for each interface: the keys that it adds, and those that mean more with it."""
    parts = []
    for name, kind in _kinds().items():
        title = f'interface = "{name}"' if name in registry.ADAPTERS else "any other interface"
        about = (kind.__doc__ or "").strip()
        parts += [f".SS {roff.escaped(title)}", roff.prose(about), _entries(_additions(kind))]
    return "\n".join(part for part in parts if part)


def table(name: str) -> str:
    """Return the keys of one part of the file as a Markdown table.

    `name` is "daemon", "forward", "bus", "filters", "record", "web" or an interface ("python_can": every other interface).
    Raises KeyError for any other name.
    """
    tables: dict[str, type[Settings]] = {
        "daemon": DaemonSettings, "forward": ForwardSettings, "bus": BusSettings, "filters": Filter,
        "record": RecordSettings, "web": WebSettings,
    }  # fmt: skip
    found = keys(tables[name]) if name in tables else _additions(_kinds()[name])
    if not found:
        return "This interface adds no keys to those of every bus."
    return "\n".join(["| key | value | meaning |", "|---|---|---|", *map(_row, map(_key, found.values()))])


def _row(key: Key) -> str:
    example = f" Example: `{key.example}`" if key.example else ""
    meaning = f"{key.description}{example}".replace("|", "\\|")
    return f"| `{key.name}` | {key.facts} | {meaning} |"


def _kinds() -> dict[str, type[BusSettings]]:
    """Return the settings class of each interface by its name; "python_can" stands for every other interface."""
    rows = (*registry.ADAPTERS.values(), registry.PYTHON_CAN)
    return {row.name.replace("-", "_"): row.settings_class() for row in rows}


def _additions(kind: type[BusSettings]) -> dict[str, TableKey]:
    common = keys(BusSettings)
    return {
        name: key
        for name, key in keys(kind).items()
        if name != "interface" and (name not in common or _about(key) != _about(common[name]))
    }


def _about(key: TableKey) -> tuple[object, ...]:
    return key.key.description, key.default, key.required


def _inner(introduction: str, table: type[Settings]) -> str:
    return "\n".join([".PP", introduction, ".RS", _entries(keys(table)), ".RE"])


def _entries(table_keys: dict[str, TableKey]) -> str:
    return "\n".join(map(_entry, table_keys.values()))


def _entry(table_key: TableKey) -> str:
    key = _key(table_key)
    paragraphs = [roff.prose(key.description)]
    if key.example:
        paragraphs.append(f"Example: {roff.bold(key.example)}")
    return roff.entry(f"{roff.bold(key.name)} ({roff.escaped(key.facts)})", paragraphs)


def _key(table_key: TableKey) -> Key:
    name, default, example = table_key.name, table_key.default, table_key.key.example
    quantity = table_key.key.quantity
    facts = [_kind(table_key.type)]
    if quantity.unit:
        facts.append(f"in {quantity.unit}")
    if table_key.required:
        facts.append("required")
    elif default is not None and default not in ((), {}):
        facts.append(f"default {written(default, as_hex=quantity.as_hex)}")
    line = "" if example is None else f"{name} = {written(example, as_hex=quantity.as_hex)}"
    return Key(name, ", ".join(facts), table_key.key.description, line)


def _kind(annotation: Any) -> str:
    """Return the kind of value of a key, in the words of TOML."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(kind) for kind in inner if kind is not NoneType))
    if origin is Literal:
        *others, last = map(written, inner)
        return f"{', '.join(others)} or {last}" if others else last
    if origin is tuple:
        return "list"
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "table"
    return _WORDS[dict if origin is dict else annotation]
