"""Settings of a toucan bus. Pure; see `config.schema` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.schema import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class ToucanSettings(BusSettings):
    """A TouCAN adapter by Rusoku, through MacCAN's library."""

    interface: Annotated[Literal["toucan"], Key("A TouCAN adapter by Rusoku.")]
    channel: Annotated[
        int, Key("Which adapter: its number in the library's order, from 0 to 7.", ge=0, le=7)
    ] = 0  # fmt: skip
    library: Annotated[
        str | None,
        Key(
            "Path of the CAN API V3 library; by default /usr/local/lib/libUVCANTOU.dylib on macOS, "
            "libUVCANTOU.so elsewhere.",
            min_length=1, example="/usr/local/lib/libUVCANTOU.dylib",
        ),
    ] = None  # fmt: skip
