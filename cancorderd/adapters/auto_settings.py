"""Settings of a bus that searches for its adapter. Pure; see `config.schema` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.schema import Key, Listed


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoSettings(BusSettings):
    """The first adapter that works and that no other bus names."""

    refused_keys: ClassVar[dict[str, tuple[str, str]]] = {
        "channel": (
            'a bus with interface "auto" finds its channel by itself',
            "Remove it, or write the interface that the channel belongs to.",
        )
    }

    interface: Annotated[
        Literal["auto"], Key("The first adapter that works: gs_usb, slcan, then CAN interfaces that are up.")
    ]
    channel: None = None
    taken: Listed[str] = ()
    """Adapters that other buses name: `conflicts.named_adapters`."""

    @property
    def adapter_name(self) -> None:
        return None

    @property
    def adapter_identity(self) -> None:
        return None
