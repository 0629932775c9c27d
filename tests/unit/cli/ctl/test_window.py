"""The page that fills a terminal, with a pseudo-terminal in place of the keyboard."""

from __future__ import annotations

import os
import pty
import signal
from typing import TYPE_CHECKING

from cancorderd.cli.ctl.window import Window
from tests.support.descriptors import low_descriptors_in_use

if TYPE_CHECKING:
    import pytest


def test_keys_and_sizes_arrive_on_high_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    with low_descriptors_in_use():
        ours, theirs = pty.openpty()
        with os.fdopen(theirs, closefd=False) as keyboard:
            monkeypatch.setattr("sys.stdin", keyboard)
            with Window() as window:
                assert window.wait(0) == ""
                os.write(ours, b"q")
                assert window.wait(60) == "q"
                os.kill(os.getpid(), signal.SIGWINCH)
                assert window.wait(60) == ""
                assert window.wait(0.001) == ""
        os.close(ours)
        os.close(theirs)
