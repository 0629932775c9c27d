"""Serial port of the plainest slcan adapter: a pseudo-terminal, to which the test writes the text."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import tty
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


class SlcanPort:
    """Answers each command with CR while it is plugged in; `write` waits for room, as a UART does."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self._master = -1
        self._slave = -1
        self._lock = threading.Lock()
        self._whole = threading.Lock()
        """Held for a whole line: an answer would break a line that waits for room."""
        self._thread: threading.Thread | None = None
        self.opened = threading.Event()
        """Set when the host has opened the channel."""

    def plug(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.opened.clear()
        self._thread = threading.Thread(target=self._answer, args=(self._master,), daemon=True)
        self._thread.start()
        fresh = self._link.with_suffix(".new")
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self._link)

    def unplug(self) -> None:
        self._link.unlink(missing_ok=True)
        with self._lock:
            os.close(self._slave)
            os.close(self._master)
            self._master = -1
        if self._thread:
            self._thread.join()

    def write(self, text: bytes) -> None:
        with self._whole:
            while text:
                with self._lock:
                    if self._master < 0:
                        return
                    try:
                        text = text[os.write(self._master, text) :]
                        continue
                    except BlockingIOError:
                        pass
                select.select([], [self._master], [], 0.01)

    def _answer(self, master: int) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError):
                select.select([master], [], [], 0.05)
            with self._lock:
                if self._master != master:
                    return
                try:
                    commands = os.read(master, 4096)
                except BlockingIOError:
                    continue
            for command in commands.split(b"\r")[:-1]:
                self.write(b"\r")
                if command in (b"O", b"L"):
                    self.opened.set()

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        if self._master >= 0:
            self.unplug()
