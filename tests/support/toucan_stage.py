"""The stage of the emulated TouCAN (toucan.c): memory that scripts it, and in which it counts its calls."""

from __future__ import annotations

import atexit
import enum
import functools
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from struct import Struct
from typing import Self

from cancorderd.adapters.toucan import can_api

_SOURCE = Path(__file__).with_name("toucan.c")
_WORD = Struct("=q")
_WORDS = 64
_SLOTS = 1024


class Word(enum.IntEnum):
    """The words of the stage, in the order of toucan.c."""

    PLUGGED = 0
    OCCUPIED = enum.auto()
    CAPABILITY = enum.auto()
    SPECIFICATION = enum.auto()
    CLOCK = enum.auto()
    RATE = enum.auto()
    """Numbered frames per second; -1: as fast as the host reads."""
    LIMIT = enum.auto()
    """Number of numbered frames; 0: no limit."""
    FD = enum.auto()
    STATUS = enum.auto()
    """Bits that can_status adds."""
    STATUS_CODE = enum.auto()
    READ_CODE = enum.auto()
    READ_CODES = enum.auto()
    """How many times can_read answers READ_CODE."""
    OVERRUNS = enum.auto()
    HAS_OVERRUNS = enum.auto()
    IMPATIENT = enum.auto()
    """1: can_read does not wait."""
    CLASSIC_LAYOUT = enum.auto()
    STAMP_START = enum.auto()
    STAMP_PPM = enum.auto()
    PUT = enum.auto()
    HANG = enum.auto()
    """1: can_read does not return before can_kill; 2: never."""
    TAKEN = enum.auto()
    MADE = enum.auto()
    INITS = enum.auto()
    EXITS = enum.auto()
    RESETS = enum.auto()
    KILLS = enum.auto()
    READS = enum.auto()
    STATUSES = enum.auto()
    MODE = enum.auto()
    INDEX = enum.auto()
    BRP = enum.auto()
    TSEG1 = enum.auto()
    TSEG2 = enum.auto()
    SJW = enum.auto()
    DATA_BRP = enum.auto()
    DATA_TSEG1 = enum.auto()
    DATA_TSEG2 = enum.auto()
    DATA_SJW = enum.auto()
    MORE = enum.auto()
    """Number of further adapters, which behave like the first."""
    CONTINUE = enum.auto()
    """1: numbers go on after a start, in place of a new beginning."""
    NEXT = enum.auto()
    """The number after the last one."""


_PRESETS = {
    Word.PLUGGED: 1,
    Word.CAPABILITY: 0x0F,
    Word.SPECIFICATION: 0x300,
    Word.CLOCK: 50_000_000,
    Word.HAS_OVERRUNS: 1,
}


@functools.cache
def built(source: Path = _SOURCE) -> Path:
    """Return `source` as a shared library, built once by the system's compiler."""
    folder = tempfile.mkdtemp(prefix="cancorderd-toucan-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = Path(folder) / ("libUVCANTOU.dylib" if sys.platform == "darwin" else "libUVCANTOU.so")
    subprocess.run(
        ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source,
         "-lpthread"],
        check=True, timeout=120,
    )  # fmt: skip
    return library


class Stage:
    """A copy of the library in `folder`, and its stage.

    TOUCAN_STAGE must hold `file` before the library is loaded, here or in another process.
    """

    def __init__(self, folder: Path) -> None:
        self.library = str(shutil.copy(built(), folder))
        self.file = str(folder / "toucan.stage")
        Path(self.file).write_bytes(bytes(_WORDS * _WORD.size + _SLOTS * can_api.MESSAGE.size))
        with open(self.file, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        for word, value in _PRESETS.items():
            self[word] = value

    def __getitem__(self, word: Word) -> int:
        return int(_WORD.unpack_from(self._memory, word * _WORD.size)[0])

    def __setitem__(self, word: Word, value: int) -> None:
        _WORD.pack_into(self._memory, word * _WORD.size, value)

    def put(self, can_id: int, flags: int = 0, code: int | None = None, data: bytes = b"") -> None:
        """Put a message on the bus; `code` is its DLC, by default the length of the data."""
        slot = _WORDS * _WORD.size + self[Word.PUT] % _SLOTS * can_api.MESSAGE.size
        dlc = len(data) if code is None else code
        can_api.MESSAGE.pack_into(self._memory, slot, can_id, flags, dlc, data, 0, 0)
        self[Word.PUT] += 1

    def unplug(self) -> None:
        self[Word.PLUGGED] = 0

    def plug(self) -> None:
        self[Word.PLUGGED] = 1

    def environment(self) -> dict[str, str]:
        return os.environ | {"TOUCAN_STAGE": self.file}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.close()
