"""Settings of recording: the table `record` of a bus. Pure; see `schema` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cancorderd.config.mistake import Mistake
from cancorderd.config.schema import MEGABYTES, AbsolutePath, Key, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "recordings"
"""Name of the default folder in [daemon] state_dir."""
_MB = 1_000_000
_MAX_MB = 1000
_ROTATE_MB = 100
_FEWEST_FILES = 10
"""By default, a file has at most this share of `max_mb`: whole files are removed, and most frames should stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettings(Settings):
    """Where a bus's frames are recorded, and how many of them are kept.

    `keep` is read as `max_mb`, and the sizes that are left out get their values: then `keep` is None, and both sizes
    are numbers. Loading sets `directory` if it is left out.
    """

    enabled: Annotated[bool, Key("false: nothing is recorded, even if [defaults.record] is there.")] = True
    directory: Annotated[
        AbsolutePath | None,
        Key(
            "Folder of the files BUS-NUMBER-DATETTIMEZ.FORMAT (time in UTC); it is created if it is missing. "
            "By default the folder recordings in state_dir of [daemon].",
            example="/var/lib/cancorder/recordings",
        ),
    ] = None
    format: Annotated[
        Literal["log", "asc", "blf", "mf4"],
        Key("log (candump's), asc or blf (Vector's), or mf4 (ASAM MDF; needs the Python package asammdf)."),
    ] = "log"
    rotate_mb: Annotated[
        int | None,
        Key(
            "Size at which the next file begins, in millions of bytes; by default 100, or a tenth of max_mb if that "
            "is less. A start of the bus also begins a file.",
            MEGABYTES, ge=1, le=1_000_000, example=_ROTATE_MB,
        ),
    ] = None  # fmt: skip
    max_mb: Annotated[
        int | None,
        Key(
            "Size of all files of the bus together, in millions of bytes; by default 1000. The oldest files are "
            "removed, the newest never. 0: no limit.",
            MEGABYTES, ge=0, le=1_000_000_000, example=_MAX_MB,
        ),
    ] = None  # fmt: skip
    errors: Annotated[
        bool,
        Key("true: remote frames and error frames are written, too. They are counted apart."),
    ] = False
    keep: Annotated[
        int | None,
        Key("Older form of max_mb: stands for max_mb = keep * rotate_mb.", ge=0, le=1_000_000, example=10),
    ] = None

    def mistakes(self) -> Iterator[Mistake]:
        if self.keep is not None and self.max_mb is not None:
            fact = f"{self.keep} is set besides max_mb, and both limit the size of all files"
            yield Mistake(fact, "Remove keep.", "keep", ("max_mb",))

    def __post_init__(self) -> None:
        """Raise the first of `mistakes`; give the sizes their values."""
        Settings.__post_init__(self)
        max_mb, rotate_mb = self.max_mb, self.rotate_mb
        if self.keep is not None:
            rotate_mb = rotate_mb or _ROTATE_MB
            max_mb = self.keep * rotate_mb
        if max_mb is None:
            max_mb = _MAX_MB
        if rotate_mb is None:
            rotate_mb = max(1, min(_ROTATE_MB, max_mb // _FEWEST_FILES)) if max_mb else _ROTATE_MB
        for name, value in (("max_mb", max_mb), ("rotate_mb", rotate_mb), ("keep", None)):
            object.__setattr__(self, name, value)

    @property
    def max_bytes(self) -> int:
        """Limit of all files of the bus together; 0: no limit."""
        return (self.max_mb or 0) * _MB

    @property
    def file_bytes(self) -> int:
        """Size at which the next file begins: within the limit of all files together."""
        size = (self.rotate_mb or _ROTATE_MB) * _MB
        return min(size, self.max_bytes) if self.max_bytes else size
