"""A page that fills the terminal, drawn by rich, and is gone when it ends. Knows nothing of buses."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from typing import TYPE_CHECKING, NoReturn, Self

from rich.console import Console, Group
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

    from cancorderd.cli.layout import Line

_TERMINATED = 128 + signal.SIGTERM


class Window:
    """The whole terminal, in a `with` block: however that ends, the terminal is as it was."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._keys = stack.enter_context(_keys()) if sys.stdin.isatty() else None
            self._resized = stack.enter_context(_resized())
            stack.enter_context(_until_terminated())
            self._screen = stack.enter_context(self._console.screen())
            self._ends = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in cells."""
        return self._console.size

    @property
    def blocks(self) -> bool:
        """True where Unicode's block elements can be drawn."""
        return self._console.encoding.startswith("utf")

    def draw(self, lines: Iterable[Line]) -> None:
        """Show these instead of what is shown."""
        self._screen.update(drawn(lines))

    def wait(self, seconds: float) -> str:
        """Wait for a key, a new size, or the end of this time: the key, or an empty string."""
        watched = [one for one in (self._keys, self._resized) if one is not None]
        ready, _, _ = select.select(watched, (), (), max(0.0, seconds))
        if self._resized in ready:
            os.read(self._resized, 4096)
        if self._keys not in ready or self._keys is None:
            return ""
        key = os.read(self._keys, 64).decode(errors="replace")
        if not key:  # the terminal is gone
            self._keys = None
        return key


def drawn(lines: Iterable[Line]) -> RenderableType:
    """Lines as rich takes them: columns are cut where they do not fit, sentences wrapped."""
    return Group(
        *(
            Text.assemble(*line, no_wrap=len(line) > 1, overflow="crop" if len(line) > 1 else None)
            for line in lines
        )
    )


@contextlib.contextmanager
def _keys() -> Iterator[int]:
    """Keys at once and unseen, not line by line; Ctrl+C stays what it is, Ctrl+Z would leave a wrong screen."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        changed = termios.tcgetattr(descriptor)
        changed[6][termios.VSUSP] = os.fpathconf(descriptor, "PC_VDISABLE").to_bytes()
        termios.tcsetattr(descriptor, termios.TCSANOW, changed)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


@contextlib.contextmanager
def _resized() -> Iterator[int]:
    """A descriptor that is readable when the terminal has got a new size."""
    end, signalled = os.pipe()
    os.set_blocking(signalled, False)
    before = signal.signal(signal.SIGWINCH, lambda *_: None)
    wakeup = signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    try:
        yield end
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGWINCH, before)
        os.close(signalled)
        os.close(end)


@contextlib.contextmanager
def _until_terminated() -> Iterator[None]:
    """SIGTERM ends the program as an exception does, so that the terminal is put in order first."""

    def end(*_: object) -> NoReturn:
        sys.exit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
