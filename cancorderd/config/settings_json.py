"""Settings of a bus as JSON, for the channel between supervisor and worker. Pure; without pydantic."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from cancorderd.adapters import registry

if TYPE_CHECKING:
    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.schema import Settings

S = TypeVar("S", bound="Settings")


def to_json(settings: BusSettings) -> str:
    """Return settings as JSON text for `from_json`."""
    return json.dumps(asdict(settings), allow_nan=False, separators=(",", ":"))


def from_json(text: str) -> BusSettings:
    """Return the settings that `to_json` wrote, as the class that belongs to their interface."""
    values = json.loads(text)
    return rebuilt(registry.adapter_of(values["interface"]).settings_class(), values)


def rebuilt(settings: type[S], values: dict[str, Any]) -> S:
    """Return an instance of a settings class. Lists become tuples, and tables nested settings."""
    return settings(**{name: _value(settings.nested.get(name), value) for name, value in values.items()})


def _value(nested: type[Settings] | None, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(nested, item) for item in value)
    return rebuilt(nested, value) if nested and isinstance(value, dict) else value
