"""Validation of a table by pydantic: the settings, and findings in words that refer to the file. Pure.

There is a case for each type of error that a table can cause; a test causes all of them.
"""

from __future__ import annotations

import difflib
import itertools
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from cancorderd.adapters import registry
from cancorderd.adapters.python_can_settings import PythonCanSettings
from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.mistake import Mistake
from cancorderd.config.problem import dotted, shortened, written
from cancorderd.config.schema import Settings, TableKey, keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pydantic_core import ErrorDetails

    from cancorderd.config.toml_positions import KeyPath

_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a table",
    "dataclass_type": "a table",
}
_LIMITS = {
    "greater_than": ("is not above", "gt"),
    "greater_than_equal": ("is below", "ge"),
    "less_than": ("is not below", "lt"),
    "less_than_equal": ("is above", "le"),
}
_LONGEST_COMPARED = 100
"""Characters of a word that may be a known one with a mistake."""

_UNKNOWN_KEYS = 100
"""Unknown keys of one table that are reported: to look for what each may mean takes time."""

S = TypeVar("S", bound=Settings)


class Finding(NamedTuple):
    """A mistake in a table. `keys` lead from the table to the value at fault."""

    keys: KeyPath
    fact: str
    remedy: str
    compared: tuple[str, ...] = ()
    """Keys of the table that were compared with the value at fault."""


class Validated(NamedTuple, Generic[S]):
    """The settings of a table, without the values at fault; None if the rest is not enough."""

    settings: S | None
    findings: list[Finding]


def validated(kind: type[S], table: Mapping[str, object]) -> Validated[S]:
    """Validate a table as settings of this kind.

    Mistakes that several keys make together show only if each value is right on its own. Therefore the values at
    fault are left out for a second pass.
    """
    known = {key: value for key, value in table.items() if key in keys(kind) or key == "name"}
    strange = itertools.islice((key for key in table if key not in known), _UNKNOWN_KEYS)
    unknown_keys = [Finding((key,), *unknown_key(kind, key)) for key in strange]
    settings, findings = _pass(kind, known)
    if findings:
        wrong = {finding.keys[0] for finding in findings}
        settings, more = _pass(kind, {key: value for key, value in known.items() if key not in wrong})
        findings += [finding for finding in more if wrong.isdisjoint((finding.keys[0], *finding.compared))]
    return Validated(settings, [*unknown_keys, *findings])


def validated_anywhere(key: str, value: object) -> list[Finding]:
    """Return the findings about a key in [defaults]: none if any kind of bus accepts it."""
    kinds = [kind for kind in registry.settings_classes() if key in keys(kind)]
    if not kinds:
        return [Finding((key,), *unknown(key, _every_key()))]
    shortest: list[Finding] | None = None
    for kind in kinds:
        required = {name: key.key.example for name, key in keys(kind).items() if key.required}
        _, findings = _pass(kind, {"name": "bus", **required, "interface": _interface(kind), key: value})
        # Other findings are about several keys together, of which only one is here.
        findings = [finding for finding in findings if finding.keys[:1] == (key,) and not finding.compared]
        if shortest is None or len(findings) < len(shortest):
            shortest = findings
        if not shortest:
            break
    return shortest or []


def interface_findings(interface: object, known: Collection[str]) -> list[Finding]:
    """Return the finding about the key `interface`, if its value is not the name of a `known` interface."""
    if isinstance(interface, str):
        return [] if interface in known else [Finding(("interface",), *unknown_interface(interface, known))]
    fact = "the key is missing" if interface is None else f"{shortened(written(interface))} is not text"
    return [Finding(("interface",), fact, 'Write interface = "socketcan", "slcan", "mock" or another.')]


def unknown_interface(interface: str, known: Collection[str]) -> tuple[str, str]:
    """Return fact and remedy for the name of an interface that does not exist."""
    fact = f"there is no interface {shortened(written(interface))}"
    if near := similar(interface, known):
        return fact, f'Write "{near}", or install the package that brings this interface to python-can.'
    own = ", ".join(f'"{name}"' for name in registry.ADAPTERS)
    return fact, f'Write {own} or an interface of python-can such as "pcan" or "kvaser".'


def unknown_key(kind: type[Settings], key: str) -> tuple[str, str]:
    """Return fact and remedy for a key that the table of these settings does not have."""
    if key in kind.refused_keys:
        return kind.refused_keys[key]
    if issubclass(kind, BusSettings):
        owners = [name for name, row in registry.ADAPTERS.items() if key in keys(row.settings_class())]
        if owners or key in keys(PythonCanSettings):
            named = " or ".join(f"interface {written(name)}" for name in owners)
            return (
                f"only a bus with {named or 'an interface of python-can'} has this key",
                f"Write it in options = {{{dotted((key,))} = ...}} if can.Bus takes it, or change the interface."
                if kind is PythonCanSettings
                else "Remove it, or change the interface.",
            )
    fact, remedy = unknown(key, keys(kind))
    if kind is PythonCanSettings and not remedy.startswith("Did"):
        return fact, f"Arguments of can.Bus stand in options = {{{dotted((key,))} = ...}}."
    return fact, remedy


def unknown_at_top(key: str, value: object, known: Collection[str]) -> tuple[str, str]:
    """Return fact and remedy for a key outside the tables that a file can have."""
    if key in _every_key():
        return "unknown key outside the table of a bus", "Write it below [bus.NAME] or [defaults]."
    fact, remedy = unknown(key, known)
    if isinstance(value, dict) and not remedy.startswith("Did"):
        return fact, f"The header of a bus is [bus.{dotted((key,))}]."
    return fact, remedy


def unknown(key: str, known: Collection[str]) -> tuple[str, str]:
    """Return fact and remedy for an unknown key of a table with the `known` keys."""
    if near := similar(key, known):
        return "unknown key", f"Did you mean {near}?"
    return "unknown key", f"Remove it; this table has {', '.join(known)}."


def similar(text: str, known: Iterable[str]) -> str | None:
    """Return the known word that `text` probably means, or None."""
    if len(text) > _LONGEST_COMPARED:
        return None
    return next(iter(difflib.get_close_matches(text.lower(), list(known), n=1)), None)


def _every_key() -> tuple[str, ...]:
    return tuple({key: None for kind in registry.settings_classes() for key in keys(kind)})


def _interface(kind: type[BusSettings]) -> object:
    rows = registry.ADAPTERS.items()
    return next(
        (name for name, row in rows if row.settings_class() is kind), keys(kind)["interface"].key.example
    )


_adapters: dict[type[Settings], TypeAdapter[Any]] = {}
"""Validators, built when they are needed: each takes some 30 ms."""


def _pass(kind: type[S], table: Mapping[str, object]) -> tuple[S | None, list[Finding]]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    try:
        return _adapters[kind].validate_python(table), []
    except ValidationError as error:
        return None, [_finding(kind, details) for details in error.errors(include_url=False)]


def _finding(kind: type[Settings], error: ErrorDetails) -> Finding:
    path, mistake = error["loc"], error.get("ctx", {}).get("error")
    if isinstance(mistake, Mistake):
        culprit = (mistake.key,) if mistake.key else mistake.inside
        return Finding((*path, *culprit), mistake.fact, mistake.remedy, () if path else mistake.compared)
    table, name = _innermost(kind, path)
    if error["type"] == "unexpected_keyword_argument":
        return Finding(path, *unknown_key(table, name))
    key = keys(table)[name]
    return Finding(path, _fact(error, key), _remedy(key))


def _innermost(kind: type[Settings], path: KeyPath) -> tuple[type[Settings], str]:
    """Return the settings class of the table that holds the value at `path`, and the value's key there."""
    name, *rest = (part for part in path if isinstance(part, str))
    for inner in rest:
        kind, name = kind.nested[name], inner
    return kind, name


def _fact(error: ErrorDetails, key: TableKey) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    as_hex = key.key.quantity.as_hex
    shown = shortened(written(value, as_hex=as_hex))
    if kind == "missing":
        return "the key is missing"
    if kind in _LIMITS:
        words, limit = _LIMITS[kind]
        return f"{shown} {words} {written(int(context[limit]), as_hex=as_hex)}"  # each limit is whole
    if kind == "string_too_short":
        return "the text is empty"
    if kind == "string_too_long":
        return f"{shown} has {len(value)} characters; the limit is {context['max_length']}"
    if kind == "string_unicode":
        return f"{shown} is not UTF-8 text"
    if kind == "literal_error":
        return f"there is no {key.name} {shown}"
    wanted = _WANTED.get(kind, "a value for this key")
    if isinstance(value, bool) or (isinstance(value, int | float) and wanted.endswith("number")):
        return f"{shown} is not {wanted}"
    return f"{shown} is {_kind_of_value(value)}, not {wanted}"


def _kind_of_value(value: object) -> str:
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


def _remedy(key: TableKey) -> str:
    if choices := _choices(key):
        *others, last = map(written, choices)
        return f"Write {', '.join(others)} or {last}."
    quantity = key.key.quantity
    example = key.default if key.key.example is None else key.key.example
    shown = written(example, as_hex=quantity.as_hex)
    if isinstance(example, int | float):
        unit = f" ({quantity.unit})" if quantity.unit else ""
        alternative = f", or {quantity.alternative}" if quantity.alternative else ""
        return f"Use {quantity.noun} such as {shown}{unit}{alternative}."
    return f"Write {key.name} = {shown}."


def _choices(key: TableKey) -> tuple[object, ...]:
    """Return the values of a key that has a closed set of them."""
    if key.type in (bool, bool | None):
        return (True, False)
    return get_args(key.type) if get_origin(key.type) is Literal else ()
