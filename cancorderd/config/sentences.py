"""What pydantic finds wrong with a section, said to the person who wrote the file. Pure.

One case for each type of error that a section can cause; a test makes them all.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args, get_origin

from pydantic import ValidationError

from cancorderd.config.interfaces import SECTIONS
from cancorderd.config.model import OWN_SECTIONS, AutoBus, BusBase, Filter, PythonCanBus, Record
from cancorderd.config.problem import shortened, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from cancorderd.config.lines import KeyPath
    from cancorderd.config.section import Section

_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}
_LIMITS = {
    "greater_than": ("is not above", "gt"),
    "greater_than_equal": ("is below", "ge"),
    "less_than": ("is not below", "lt"),
    "less_than_equal": ("is above", "le"),
}


class Finding(NamedTuple):
    """A mistake in a table: `keys` lead to it from that table."""

    keys: KeyPath
    what: str
    remedy: str


def findings(section: type[Section], table: Mapping[str, object]) -> list[Finding]:
    """Everything that keeps `table` from being a `section`."""
    held_back = [key for key in table if key in section.model_fields and key not in section.key_fields()]
    found = [Finding((key,), *unknown_key(section, key)) for key in held_back if key != "name"]
    try:
        section.model_validate(
            {key: value for key, value in table.items() if key == "name" or key not in held_back}
        )
    except ValidationError as error:
        found += [_finding(section, each) for each in error.errors(include_url=False)]
    return found


def findings_anywhere(key: str, value: object) -> list[Finding]:
    """What is wrong with a key of a bus whose interface is not known, as in [defaults]."""
    holders = [section for section in SECTIONS if key in section.key_fields()]
    if not holders:
        every = {each: None for section in SECTIONS for each in section.key_fields()}
        return [Finding((key,), *unknown(key, tuple(every)))]
    return min((_about(section, key, value) for section in holders), key=len)


def _about(section: type[BusBase], key: str, value: object) -> list[Finding]:
    sound = {"name": "bus", "interface": "pcan", "channel": "x", "file": "x"}
    interface = next((name for name, own in OWN_SECTIONS.items() if own is section), "pcan")
    table = {k: v for k, v in sound.items() if k == "name" or k in section.key_fields()}
    try:
        section.model_validate({**table, "interface": interface, key: value})
    except ValidationError as error:
        # Errors without a place are about several keys together, and here is but one.
        mine = (each for each in error.errors(include_url=False) if each["loc"][:1] == (key,))
        return [_finding(section, each) for each in mine]
    return []


def _finding(section: type[Section], error: ErrorDetails) -> Finding:
    keys, context = error["loc"], error.get("ctx", {})
    if error["type"] == "mistake":
        culprit = (context["key"],) if context["key"] else ()
        return Finding((*keys, *culprit), context["what"], context["remedy"])
    table, key = _innermost(section, keys)
    if error["type"] == "extra_forbidden":
        return Finding(keys, *unknown_key(table, key))
    field = table.key_fields()[key]
    return Finding(keys, _what(error, key, field), _remedy(key, field))


def _innermost(section: type[Section], keys: KeyPath) -> tuple[type[Section], str]:
    """The table that the culprit stands in, and its key there."""
    match keys:
        case ("filters", _, key):
            return Filter, str(key)
        case ("record", key):
            return Record, str(key)
        case _:
            return section, str(keys[0])


def _what(error: ErrorDetails, key: str, field: FieldInfo) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    as_hex = "hex" in _extra(field)
    shown = shortened(written(value, as_hex=as_hex))
    if kind == "missing":
        return "the key is missing"
    if kind in _LIMITS:
        words, limit = _LIMITS[kind]
        return f"{shown} {words} {written(int(context[limit]), as_hex=as_hex)}"  # each limit is whole
    if kind == "string_too_short":
        return "the text is empty"
    if kind == "string_too_long":
        return f"{shown} has {len(value)} characters, and {context['max_length']} are the most"
    if kind == "literal_error":
        return f"there is no {key} {shown}"
    wanted = _WANTED.get(kind, "what this key takes")
    if isinstance(value, bool) or (isinstance(value, int | float) and wanted.endswith("number")):
        return f"{shown} is not {wanted}"
    return f"{shown} is {_kind(value)}, not {wanted}"


def _kind(value: object) -> str:
    match value:
        case str():
            return "text"
        case int() | float():
            return "a number"
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def _remedy(key: str, field: FieldInfo) -> str:
    extra = _extra(field)
    if choices := _choices(field):
        *others, last = map(written, choices)
        return f"Write {', '.join(others)} or {last}."
    example = field.examples[0] if field.examples else field.default
    shown = written(example, as_hex="hex" in extra)
    if isinstance(example, int | float):
        unit = f" ({extra['unit']})" if "unit" in extra else ""
        otherwise = f", or {extra['or']}" if "or" in extra else ""
        return f"Use {extra.get('noun', 'a value')} such as {shown}{unit}{otherwise}."
    return f"Write {key} = {shown}."


def _choices(field: FieldInfo) -> tuple[object, ...]:
    """The values that a key with a closed set of them can have."""
    if field.annotation in (bool, bool | None):
        return (True, False)
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def _extra(field: FieldInfo) -> dict[str, object]:
    return dict(field.json_schema_extra) if isinstance(field.json_schema_extra, dict) else {}


def unknown_key(section: type[Section], key: str) -> tuple[str, str]:
    """What is wrong with a key that a table of this section does not have, and the remedy."""
    if section is AutoBus and key == "channel":
        what = 'a bus with interface "auto" finds its channel by itself'
        return what, "Remove it, or write the interface that the channel belongs to."
    if issubclass(section, BusBase):
        owners = [name for name, other in OWN_SECTIONS.items() if key in other.key_fields()]
        if owners or key in PythonCanBus.key_fields():
            those = " or ".join(f"interface {written(name)}" for name in owners)
            return (
                f"only a bus with {those or 'an interface of python-can'} has this key",
                f"Write it in options = {{{key} = ...}} if can.Bus takes it, or change the interface."
                if section is PythonCanBus
                else "Remove it, or change the interface.",
            )
    what, remedy = unknown(key, tuple(section.key_fields()))
    if section is PythonCanBus and not remedy.startswith("Did"):
        return what, f"Arguments of can.Bus stand in options = {{{key} = ...}}."
    return what, remedy


def unknown_at_top(key: str, value: object, known: tuple[str, ...]) -> tuple[str, str]:
    """As `unknown_key`, for what stands outside the tables that a file can have."""
    if any(key in section.key_fields() for section in SECTIONS):
        return "unknown key outside the table of a bus", "Write it below [bus.NAME] or [defaults]."
    what, remedy = unknown(key, known)
    if isinstance(value, dict) and not remedy.startswith("Did"):
        return what, f"The header of a bus is [bus.{key}]."
    return what, remedy


def unknown(key: str, known: tuple[str, ...]) -> tuple[str, str]:
    if near := difflib.get_close_matches(key.lower(), known, n=1):
        return "unknown key", f"Did you mean {near[0]}?"
    return "unknown key", f"Remove it; this table has {', '.join(known)}."
