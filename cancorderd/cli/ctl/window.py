"""A page that fills the terminal while it is open, drawn by rich. Knows nothing of buses."""

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

    from cancorderd.cli.ctl.text_table import Line

_TERMINATED = 128 + signal.SIGTERM


class Window:
    """The whole terminal, in a `with` block, which restores the terminal however it ends."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._screen = self._console.screen()
        self._restore = contextlib.ExitStack()
        self._keys: int | None = None
        """Descriptor of the keys; None without a keyboard."""
        self._resized = -1
        """Descriptor that is readable after a change of size."""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._keys = stack.enter_context(_keys()) if sys.stdin.isatty() else None
            self._resized = stack.enter_context(_resized())
            stack.enter_context(_until_terminated())
            stack.enter_context(self._screen)
            self._restore = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._restore.close()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in cells."""
        return self._console.size

    @property
    def has_blocks(self) -> bool:
        """Whether Unicode's block elements can be drawn."""
        return self._console.encoding.startswith("utf")

    def draw(self, lines: Iterable[Line]) -> None:
        """Show these lines in place of the previous ones."""
        self._screen.update(renderable(lines))

    def wait(self, seconds: float) -> str:
        """Wait for a key, a new size, or the end of this time; return the key or an empty string."""
        poll = select.poll()
        for watched in (self._keys, self._resized):
            if watched is not None:
                poll.register(watched, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(1000 * max(0.0, seconds))}
        if self._resized in ready:
            os.read(self._resized, 4096)
        if self._keys not in ready or self._keys is None:
            return ""
        key = os.read(self._keys, 64).decode(errors="replace")
        if not key:  # the terminal is gone
            self._keys = None
        return key


def renderable(lines: Iterable[Line]) -> RenderableType:
    """Convert lines for rich: columns that do not fit are cut, sentences wrapped."""
    return Group(
        *(
            Text.assemble(*line, no_wrap=len(line) > 1, overflow="crop" if len(line) > 1 else None)
            for line in lines
        )
    )


@contextlib.contextmanager
def _keys() -> Iterator[int]:
    """Deliver keys at once and without echo. Ctrl+C still interrupts; Ctrl+Z, which would spoil the screen, is off."""
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
    """Yield a descriptor that is readable after a change of the terminal's size."""
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
    """Let SIGTERM end the program by an exception, so that the terminal is restored first."""

    def end(*_: object) -> NoReturn:
        sys.exit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
