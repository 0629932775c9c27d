"""The keys of the configuration, from the models that check it, as sections of cancorder.toml(5)."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import roff

from cancorderd.config.model import OWN_SECTIONS, BusBase, Daemon, Filter, PythonCanBus, Record
from cancorderd.config.problem import written
from cancorderd.config.section import Section

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", dict: "table"}


def daemon() -> str:
    return _entries(Daemon.key_fields())


def every_bus() -> str:
    filters = _inner(f"Each of {roff.bold('filters')} is a table with these keys:", Filter)
    record = _inner(f"The table {roff.bold('record')}, which adds to that of [defaults], has:", Record)
    return "\n".join([_entries(BusBase.key_fields()), filters, record])


def interfaces() -> str:
    """One subsection for each interface: the keys that it adds, and those that mean more with it."""
    sections: dict[str, type[BusBase]] = {f'interface = "{name}"': own for name, own in OWN_SECTIONS.items()}
    sections["any other interface"] = PythonCanBus
    parts = []
    for title, section in sections.items():
        about = (section.__doc__ or "").strip()
        parts += [f".SS {roff.escaped(title)}", roff.prose(about), _entries(_additions(section))]
    return "\n".join(part for part in parts if part)


def _additions(section: type[BusBase]) -> dict[str, FieldInfo]:
    common = BusBase.key_fields()
    return {
        key: field
        for key, field in section.key_fields().items()
        if key != "interface" and (key not in common or _about(field) != _about(common[key]))
    }


def _about(field: FieldInfo) -> tuple[object, ...]:
    return field.description, field.default, field.is_required()


def _inner(introduction: str, table: type[Section]) -> str:
    return "\n".join([".PP", introduction, ".RS", _entries(table.key_fields()), ".RE"])


def _entries(fields: dict[str, FieldInfo]) -> str:
    return "\n".join(_entry(key, field) for key, field in fields.items())


def _entry(key: str, field: FieldInfo) -> str:
    extra = _extra(field)
    facts = [_kind(field.annotation)]
    if "unit" in extra:
        facts.append(f"in {extra['unit']}")
    if field.is_required():
        facts.append("required")
    elif field.default is not None and field.default not in ((), {}):
        facts.append(f"default {_value(key, field.default)}")
    tag = f"{roff.bold(key)} ({roff.escaped(', '.join(facts))})"
    paragraphs = [roff.prose(field.description or "")]
    if field.examples:
        paragraphs.append(f"Example: {roff.bold(f'{key} = {_value(key, field.examples[0], field)}')}")
    return roff.entry(tag, paragraphs)


def _value(key: str, value: object, field: FieldInfo | None = None) -> str:
    return written(value, as_hex=key in ("id", "mask") or (field is not None and "hex" in _extra(field)))


def _extra(field: FieldInfo) -> dict[str, object]:
    """What a field says about its unit and notation; it may stand on the type, inside Annotated."""
    return dict(field.json_schema_extra) if isinstance(field.json_schema_extra, dict) else {}


def _kind(annotation: Any) -> str:
    """What kind of value a key takes, in the words of TOML."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(each) for each in inner if each is not NoneType))
    if origin is Literal:
        *others, last = map(written, inner)
        return f"{', '.join(others)} or {last}" if others else last
    if origin is tuple:
        return "list"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "table"
    return _WORDS[dict if origin is dict else annotation]
