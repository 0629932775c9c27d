"""Settings of a replay bus. Pure; see `config.schema` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.schema import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings(BusSettings):
    """A log file, played at the pace at which it was recorded."""

    interface: Annotated[Literal["replay"], Key("A log file, played.")]
    channel: Annotated[str, Key("Any text; it is only shown to clients.", min_length=1)] = "replay"
    file: Annotated[
        str,
        Key(
            "Log file (.asc, .blf, .csv, .db, .log, .mf4, .trc, compressed as .gz), relative to this file's folder.",
            min_length=1, example="/var/lib/cancorder/drive.asc", relative_path=True,
        ),
    ]  # fmt: skip
    speed: Annotated[float, Key("Speed relative to the recording's own pace.", gt=0)] = 1.0
    loop: Annotated[bool, Key("true: start again at the end of the file.")] = False

    @property
    def adapter_name(self) -> None:
        return None

    @property
    def adapter_identity(self) -> None:
        return None
