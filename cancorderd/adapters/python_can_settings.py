"""Settings of a bus whose adapter python-can serves. Pure; see `config.schema` for the rules."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import date, time
from typing import Annotated, Any

from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.mistake import Mistake
from cancorderd.config.problem import shortened, written
from cancorderd.config.schema import MAX_INTEGER, MIN_INTEGER, Checked, Key

RESERVED_OPTIONS = ("interface", "channel", "bitrate", "fd", "can_filters")
"""Arguments of can.Bus that follow from other keys of the bus, so `options` must not repeat them."""


def _channel(value: object) -> object:
    """Check a channel of python-can's interfaces: text, a whole number or nothing."""
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        if isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
            fact = f"{shortened(written(value))} has more than 64 bits"
            raise Mistake(fact, "Write a lower number, or the number as text.")
        return value
    fact = f"{shortened(written(value))} is neither text nor a whole number"
    raise Mistake(fact, 'Write channel = 0 or channel = "can0".')


def _options(options: dict[str, object]) -> dict[str, object]:
    for name in RESERVED_OPTIONS:
        if name in options:
            key = "filters" if name == "can_filters" else name
            raise Mistake(f'"{name}" is no option of its own', f"Write it as the key {key} of this bus.")
    return {name: _json_value(value, (name,)) for name, value in options.items()}


def _json_value(value: object, path: tuple[str | int, ...]) -> object:
    """Return an option as the worker receives it, as JSON: a date is text there. Raises Mistake."""
    match value:
        case dict():
            return {key: _json_value(item, (*path, key)) for key, item in value.items()}
        case list():
            return [_json_value(item, (*path, at)) for at, item in enumerate(value)]
        case date() | time():  # includes datetime
            return value.isoformat()
        case int() if not MIN_INTEGER <= value <= MAX_INTEGER:
            fact = f"{shortened(written(value))} has more than 64 bits"
            raise Mistake(fact, "Write a lower number, or the number as text.", inside=path)
        case float() if not math.isfinite(value):
            remedy = "Write a number, or leave the option out."
            raise Mistake(f"{value} is not a finite number", remedy, inside=path)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonCanSettings(BusSettings):
    """Any interface of python-can that has no adapter of its own here."""

    interface: Annotated[str, Key("Name of the interface in python-can.", min_length=1, example="pcan")]
    channel: Annotated[
        str | int | None,
        Checked(_channel, before=True),
        Key("Number or name of the channel in python-can's interface.", example=0),
    ] = None
    options: Annotated[
        dict[str, Any],
        Checked(_options),
        Key("Further arguments of can.Bus, as {name = value}.", example={"index": 0}),
    ] = field(default_factory=dict)

    @property
    def adapter_identity(self) -> str:
        """With the options: some interfaces select an adapter by an option alone, such as a serial number."""
        options = json.dumps(self.options, sort_keys=True, default=str)
        return f"{self.interface} {self.channel} {options}"
