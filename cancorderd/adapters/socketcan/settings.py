"""Settings of a socketcan bus. Pure; see `config.schema` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.mistake import Mistake
from cancorderd.config.schema import MILLISECONDS, Key

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEVICE_NAME = 15
"""Characters of a network interface's name on Linux (IFNAMSIZ less the closing zero)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketcanSettings(BusSettings):
    """A CAN network interface of the Linux kernel."""

    interface: Annotated[Literal["socketcan"], Key("A CAN network interface of the Linux kernel.")]
    channel: Annotated[
        str,
        Key(
            "Name of the network interface, as `ip link` shows it.",
            min_length=1, max_length=MAX_DEVICE_NAME, example="can0",
        ),
    ]  # fmt: skip
    configure: Annotated[
        bool,
        Key("true: the link is set up with this bus's settings and brought up; needs CAP_NET_ADMIN."),
    ] = False
    restart_ms: Annotated[
        int | None,
        Key(
            "Milliseconds after which the kernel restarts a controller that is bus-off, 0 for never;"
            " by default the link's own setting. Needs configure = true.",
            MILLISECONDS, ge=0, le=60_000, example=100,
        ),
    ] = None  # fmt: skip

    def mistakes(self) -> Iterator[Mistake]:
        yield from BusSettings.mistakes(self)
        if self.restart_ms is not None and not self.configure:
            fact = f"{self.restart_ms} is set, but the link is not set up by this bus"
            yield Mistake(fact, "Write configure = true, or remove restart_ms.", "restart_ms", ("configure",))
