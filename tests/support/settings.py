"""Settings of buses for tests, validated as the supervisor validates a table [bus.NAME]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from cancorderd.adapters import registry
from cancorderd.config.validation import validated

if TYPE_CHECKING:
    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.schema import Settings

S = TypeVar("S", bound="Settings")


def valid(kind: type[S], **keys: Any) -> S:
    """Return settings of this class with these keys. Raises AssertionError if a key is wrong."""
    settings, findings = validated(kind, keys)
    assert settings is not None and not findings, findings
    return settings


def valid_settings(interface: str, *, name: str = "test", **keys: Any) -> BusSettings:
    """Return the settings of a bus with this interface and these keys."""
    kind = registry.settings_class(interface)
    assert kind is not None, f"there is no interface {interface}"
    return valid(kind, name=name, interface=interface, **keys)
