"""Description of a table of the configuration: its settings class, its keys, and the kinds of values. Pure.

A settings class is a frozen dataclass on `Settings`. The annotation of a field describes the key:

    port: Annotated[int | None, Key("TCP port for clients.", PORT, ge=1, le=65535)] = None

A field without a `Key` is set by the program and cannot stand in a file. A key that is a word of Python, such as
`from`, has a field with an underscore at its end. The supervisor validates tables with
pydantic (`validation`), which calls the `__get_pydantic_core_schema__` methods below. A worker builds the same
classes from JSON (`settings_json`) without pydantic: nothing here imports it, and annotations stay text until
`keys` evaluates them. `Key` has limits of its own because importing annotated_types would lengthen the start of
each worker by a quarter.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, TypeVar, get_type_hints

from cancorderd.config import value_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

    from cancorderd.config.mistake import Mistake


def key_name(field_name: str) -> str:
    """Return the key that a field of a settings class stands for."""
    return field_name.removesuffix("_")


class Settings:
    """A table of the file: no unknown keys, no conversions ("500000" is no number), never changed."""

    __slots__ = ()
    __pydantic_config__: ClassVar = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
        "alias_generator": key_name,
    }
    nested: ClassVar[dict[str, type[Settings]]] = {}
    """Settings classes of the keys that hold a table, or a list of tables."""
    refused_keys: ClassVar[dict[str, tuple[str, str]]] = {}
    """Keys that similar tables have and this table does not: fact and remedy of each."""

    def __post_init__(self) -> None:
        """Raise the first of `mistakes`."""
        for mistake in self.mistakes():
            raise mistake

    def mistakes(self) -> Iterator[Mistake]:
        """Yield each mistake that several keys make together. Values on their own are right already."""
        yield from ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Accept a table in place of an instance, which pydantic's strict mode would demand."""
        schema = handler(source)
        inner: dict[str, Any] = handler.resolve_ref_schema(schema)  # type: ignore[assignment]
        inner["strict"] = False
        return schema


class Quantity(NamedTuple):
    """Words of a remedy for a number: "Use a rate such as 500000 (bit/s)."."""

    noun: str
    unit: str = ""
    alternative: str = ""
    as_hex: bool = False


VALUE = Quantity("a value")
RATE = Quantity("a rate", "bit/s")
TIME = Quantity("a time", "s")
MILLISECONDS = Quantity("a time", "ms")
SIZE = Quantity("a size", "bytes")
MEGABYTES = Quantity("a size", "MB")
PORT = Quantity("a port", alternative="leave the key out for an automatic one")
ARBITRATION_ID = Quantity("an arbitration id", as_hex=True)


class Key:
    """Description of a key, which is the manual's text, and the limits of its value."""

    def __init__(
        self, description: str, quantity: Quantity = VALUE, *, example: object = None,
        gt: int | None = None, ge: int | None = None, lt: int | None = None, le: int | None = None,
        min_length: int | None = None, max_length: int | None = None, relative_path: bool = False,
    ) -> None:  # fmt: skip
        """`relative_path`: the value is a path that starts at the folder of the file that holds it."""
        self.description = description
        self.quantity = quantity
        self.example = example
        self.relative_path = relative_path
        limits = {"gt": gt, "ge": ge, "lt": lt, "le": le, "min_length": min_length, "max_length": max_length}
        self.limits = {name: limit for name, limit in limits.items() if limit is not None}

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        inner: dict[str, Any] = schema  # type: ignore[assignment]
        while inner["type"] == "nullable":
            inner = inner["schema"]
        inner.update(self.limits)
        return schema


class Checked:
    """A check of one value: the function returns the value, normalised, or raises Mistake."""

    def __init__(self, check: Callable[[Any], object], *, before: bool = False) -> None:
        """`before`: check the value as it stands in the file, before its type is validated."""
        self.check = check
        self.before = before

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415 - only where pydantic is loaded already

        if self.before:
            return core_schema.no_info_before_validator_function(self.check, handler(source))
        return core_schema.no_info_after_validator_function(self.check, handler(source))


MIN_INTEGER, MAX_INTEGER = -(1 << 63), (1 << 63) - 1
"""Range of whole numbers that TOML promises; tomllib reads larger ones, other readers of JSON and drivers do not."""

Item = TypeVar("Item")
Listed = Annotated[tuple[Item, ...], Checked(value_checks.tuple_of_list, before=True)]
Address = Annotated[str, Checked(value_checks.address)]
Addresses = Annotated[Listed[Address], Checked(value_checks.addresses)]
Network = Annotated[str, Checked(value_checks.network)]
ServiceName = Annotated[str, Checked(value_checks.service_name)]
AbsolutePath = Annotated[str, Checked(value_checks.absolute_path)]
SocketPath = Annotated[str, Checked(value_checks.socket_path)]


class TableKey(NamedTuple):
    """A key of a settings class."""

    name: str
    type: Any
    """The annotation without metadata, such as `int | None`."""
    key: Key
    default: object
    required: bool


def values(settings: Settings) -> dict[str, object]:
    """Return the value of each field by its name. Nested settings stay as they are."""
    return {field.name: getattr(settings, field.name) for field in fields(settings)}  # type: ignore[arg-type]


_keys: dict[type[Settings], dict[str, TableKey]] = {}


def keys(settings: type[Settings]) -> dict[str, TableKey]:
    """Return the keys that the table of `settings` may hold, in the order of its fields."""
    if settings not in _keys:
        _keys[settings] = _described_fields(settings)
    return _keys[settings]


def _described_fields(settings: type[Settings]) -> dict[str, TableKey]:
    annotations = get_type_hints(settings, include_extras=True)
    types = get_type_hints(settings)
    found = {}
    for field in fields(settings):  # type: ignore[arg-type]
        metadata = getattr(annotations[field.name], "__metadata__", ())
        for key in metadata:
            if isinstance(key, Key):
                required = field.default is MISSING and field.default_factory is MISSING
                default = None if field.default is MISSING else field.default
                name = key_name(field.name)
                found[name] = TableKey(name, types[field.name], key, default, required)
    return found
