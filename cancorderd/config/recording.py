"""The table `record` of a bus: its frames in files. Pure; see `model` for the rules."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cancorderd.config.section import MEGABYTES, AbsolutePath, Section


class Record(Section):
    """Where a bus's frames are recorded, and how much of them is kept."""

    enabled: bool = Field(
        default=True, description="false: nothing is recorded, whatever [defaults.record] says."
    )
    directory: AbsolutePath = Field(
        default="/var/lib/cancorder/recordings",
        description="Folder of the files, BUS-DATETTIMEZ.FORMAT each, with the time in UTC; made if it is missing.",
    )
    format: Literal["log", "asc", "blf", "mf4"] = Field(
        default="log",
        description="log (candump's), asc or blf (Vector's), or mf4 (ASAM MDF; it needs the Python package asammdf).",
    )
    rotate_mb: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        json_schema_extra=MEGABYTES,
        description="Size at which the next file begins, in millions of bytes. Each start of the bus begins one, too.",
    )
    keep: int = Field(
        default=10,
        ge=0,
        le=1_000_000,
        description="How many files of the bus stay; the oldest are removed. 0: all stay.",
    )
