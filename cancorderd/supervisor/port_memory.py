"""The automatic ports of buses, kept across restarts of the daemon.

The file is read and written in a thread: buses serve, whether or not its file system answers.
"""

from __future__ import annotations

import logging
import os
import stat
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import tomli_w

from cancorderd.file_thread import FileThread, NoAnswer
from cancorderd.folder_sync import sync_folder

if TYPE_CHECKING:
    from cancorderd.file_thread import FileCall

log = logging.getLogger("cancorderd")

_MAX_BYTES = 1 << 18
"""More than thousands of buses need."""
_MAX_LINE = 200
"""Longer than a bus's name and port. Bounds the depth of keys, in which reading TOML is quadratic."""
_MAX_PORT = 65535
_ANSWER_WITHIN_S = 5.0
"""Time after which the file system is taken for one that does not answer."""


class PortMemory:
    """Automatic ports by bus, stored in `ports.toml` of the state folder.

    Without a folder, or if the file cannot be written, the ports are kept in memory only. A file that is wrong is set
    aside as `ports.toml.bad` and reported; its valid ports are kept.
    """

    def __init__(self, state_dir: str | None, *, answer_within_s: float = _ANSWER_WITHIN_S) -> None:
        self._ports: dict[str, int] = {}
        self._file = Path(state_dir) / "ports.toml" if state_dir else None
        self._answer_within_s = answer_within_s
        self._thread = FileThread()
        self._write: FileCall[str] | None = None
        """The latest write, until its result is known."""
        self._write_began_s = 0.0
        self._unwritten = False
        """Whether ports have changed since the latest write began."""
        self._warning = ""
        """The latest warning about a write."""
        if self._file:
            self._read(self._file)

    def get(self, bus: str) -> int | None:
        return self._ports.get(bus)

    def others(self, bus: str) -> set[int]:
        """Return the ports of all other buses."""
        return {port for name, port in self._ports.items() if name != bus}

    def remember(self, bus: str, port: int) -> None:
        """Store the port of a bus. The file follows; `check` reports if it does not."""
        if self._ports.get(bus) != port:
            self._ports[bus] = port
            self._unwritten = True
            self.check(time.monotonic())

    def check(self, now_s: float) -> None:
        """Write the ports that have changed, unless a write is under way. Called about once a second, and never waits."""
        if self._file is None:
            return
        if self._write is not None:
            if not self._write.done:
                if now_s - self._write_began_s < self._answer_within_s:
                    return
                if not self._write.withdraw():
                    self._warn(_not_kept(self._file, "the file system does not answer"))
                    return
                self._write, self._unwritten = None, True  # no thread could begin it
            else:
                write, self._write = self._write, None
                self._warn(write.wait(0))
        if self._unwritten:
            self._begin_write(self._file, now_s)

    async def written(self, within_s: float) -> None:
        """Wait until the file holds all ports, or cannot, for at most `within_s`."""
        end_s = time.monotonic() + within_s
        self.check(time.monotonic())
        while self._write is not None:
            try:
                await self._write.answer(end_s - time.monotonic())
            except NoAnswer:
                break
            self.check(time.monotonic())

    def _begin_write(self, file: Path, now_s: float) -> None:
        text = tomli_w.dumps({"ports": self._ports})
        try:
            self._write = self._thread.submit(lambda: _written(file, text))
        except OSError as error:  # it is tried again at the next check
            self._warn(_not_kept(file, error.strerror or str(error)))
            return
        self._write_began_s = now_s
        self._unwritten = False

    def _warn(self, warning: str) -> None:
        """Log a warning, unless it is the same as before; an empty one means that the file holds the ports."""
        if warning and warning != self._warning:
            log.warning("%s", warning)
        self._warning = warning

    def _read(self, file: Path) -> None:
        try:
            stored = self._thread.submit(lambda: _stored(file)).wait(self._answer_within_s)
        except (NoAnswer, OSError) as error:
            # A later write would replace ports that are not known.
            self._file = None
            fact = "the file system does not answer" if isinstance(error, NoAnswer) else error.strerror
            log.warning(
                "%s: %s: buses without port get new ports until the daemon is restarted. "
                "Look for a file system that does not answer (df, mount), or set daemon.state_dir to another folder.",
                file, fact,
            )  # fmt: skip
            return
        self._ports = stored.ports
        if stored.warning:
            log.warning("%s", stored.warning)
        if stored.set_aside and self._ports:
            self._unwritten = True
            self.check(time.monotonic())


class _Stored(NamedTuple):
    """The contents of the file."""

    ports: dict[str, int]
    warning: str = ""
    set_aside: bool = False
    """Whether the file was wrong, and is no longer there."""


def _stored(file: Path) -> _Stored:
    """Return the valid ports of the file; sets it aside if it is wrong."""
    try:
        table, torn = _ports_table(file)
    except (FileNotFoundError, NotADirectoryError):
        return _Stored({})
    except OSError as error:
        return _set_aside(file, error.strerror or str(error), {})
    except (ValueError, RecursionError) as error:
        return _set_aside(file, str(error).partition("\n")[0], {})
    ports: dict[str, int] = {}
    wrong = []
    known: set[int] = set()
    for bus, port in table.items():
        if type(port) is int and 0 < port <= _MAX_PORT and port not in known:
            ports[bus] = port
            known.add(port)
        else:
            wrong.append(bus)
    if wrong:
        named = ", ".join(map(ascii, wrong[:3]))
        return _set_aside(file, f"no port, or the port of two buses, at {named}", ports)
    if torn:
        return _set_aside(file, "it ends within a line", ports)
    return _Stored(ports)


def _set_aside(file: Path, fact: str, ports: dict[str, int]) -> _Stored:
    bad = file.with_name(f"{file.name}.bad")
    try:
        os.replace(file, bad)
    except OSError as error:
        return _Stored(ports, f"{file}: {fact}, and it cannot be renamed ({error.strerror}). Remove it.")
    return _Stored(
        ports,
        f"{file}: {fact}. It is now {bad}, and buses without port that it named wrongly get new ports. "
        "Set port to keep one.",
        set_aside=True,
    )


def _written(file: Path, text: str) -> str:
    """Write the file. Returns a warning if that fails, otherwise nothing."""
    fresh = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())  # a power cut leaves the old file or the new one
        os.replace(fresh, file)
    except OSError as error:
        return _not_kept(file, error.strerror or str(error))
    sync_folder(file.parent)
    return ""


def _not_kept(file: Path, fact: str) -> str:
    return (
        f"{file}: {fact}: automatic ports are not kept across restarts. "
        "Set daemon.state_dir to a folder that the daemon may write."
    )


def _ports_table(file: Path) -> tuple[dict[str, object], bool]:
    """Return the file's ports by bus, not validated, and whether it is torn. Raises OSError, ValueError or RecursionError.

    The last line of a torn file is not read: a part of a number is another number.
    """
    with open(file, "rb", opener=_open_at_once) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise ValueError("not an ordinary file")
        data = opened.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES or max(map(len, data.split(b"\n"))) > _MAX_LINE:
        raise ValueError("not written by cancorderd")
    whole, newline, torn = data.rpartition(b"\n")
    table = tomllib.loads((whole + newline).decode()).get("ports", {})
    if not isinstance(table, dict):
        raise ValueError("ports is not a table")  # noqa: TRY004 - the file is wrong, not the program
    return table, bool(torn)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to would otherwise wait for ever."""
    return os.open(path, flags | os.O_NONBLOCK)
