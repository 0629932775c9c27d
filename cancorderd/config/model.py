"""What a configuration can say: one section per table of the file, every key with unit and limits.

The keys of every bus are in `bus`; `adapters` and `simulated` hold what each interface adds. All of it is pure: no
files and no line numbers (`load`), no wording of mistakes (`checks`, `sentences`). The
descriptions are the manual's text. Times are seconds, sizes bytes, rates bit/s. A section survives
`model_dump(mode="json")`, which is what its worker receives: addresses and networks are text.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from cancorderd.config.adapters import AutoBus, GsUsbBus, PythonCanBus, SlcanBus, SocketcanBus, ToucanBus
from cancorderd.config.bus import BUS_NAME, BusBase, Filter
from cancorderd.config.recording import Record
from cancorderd.config.section import AbsolutePath, Listed, Section, SocketPath
from cancorderd.config.simulated import MockBus, ReplayBus

__all__ = [
    "BUS_NAME",
    "OWN_SECTIONS",
    "AutoBus",
    "Bus",
    "BusBase",
    "Configuration",
    "Daemon",
    "Filter",
    "GsUsbBus",
    "MockBus",
    "PythonCanBus",
    "Record",
    "ReplayBus",
    "SlcanBus",
    "SocketcanBus",
    "ToucanBus",
]

OWN_SECTIONS: dict[str, type[BusBase]] = {
    "socketcan": SocketcanBus,
    "slcan": SlcanBus,
    "toucan": ToucanBus,
    "gs_usb": GsUsbBus,
    "mock": MockBus,
    "replay": ReplayBus,
    "auto": AutoBus,
}


def _tag(value: object) -> str:
    interface = value.get("interface") if isinstance(value, dict) else getattr(value, "interface", None)
    return interface if isinstance(interface, str) and interface in OWN_SECTIONS else "python-can"


Bus = Annotated[
    Annotated[SocketcanBus, Tag("socketcan")]
    | Annotated[SlcanBus, Tag("slcan")]
    | Annotated[ToucanBus, Tag("toucan")]
    | Annotated[GsUsbBus, Tag("gs_usb")]
    | Annotated[MockBus, Tag("mock")]
    | Annotated[ReplayBus, Tag("replay")]
    | Annotated[AutoBus, Tag("auto")]
    | Annotated[PythonCanBus, Tag("python-can")],
    Discriminator(_tag),
]


class Daemon(Section):
    """The supervisor's own settings: the table [daemon]."""

    control_socket: SocketPath = Field(
        default="/run/cancorder/control.sock",
        description="Path of the Unix socket for cancorderctl.",
    )
    state_dir: AbsolutePath = Field(
        default="/var/lib/cancorder", description="Folder in which automatic ports are remembered."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least serious messages to log: debug, info, warning or error."
    )


class Configuration(Section):
    """Everything that is in force: [defaults] are worked into the buses, which keep the files' order."""

    daemon: Daemon = Field(default=Daemon(), description="The daemon's own settings.")
    buses: Listed[Bus] = Field(default=(), description="The buses, in the order of the files.")
