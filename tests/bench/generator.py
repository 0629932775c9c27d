"""slcan adapters that send frames: `generator FOLDER BUSES RATE SECONDS LENGTH` (RATE 0: as fast as the host reads).

Makes FOLDER/tty0, tty1, …, prints `open` when the host has opened each channel, begins after the input line `go`, prints
the number of frames that were due on each adapter, and ends after another line. The payload begins with the frame's number
or, with a rate, with the time of sending in nanoseconds since the epoch, from which a client computes the delay.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import sys
import time
import tty
from pathlib import Path

_PIECE = 500
_TICK_S = 0.0005


def main(folder: Path, buses: int, rate: float, seconds: float, length: int) -> None:
    masters = [adapter(folder / f"tty{number}") for number in range(buses)]
    answer_until_open(masters)
    print("open", flush=True)
    sys.stdin.readline()
    text = text_form(length)
    print(pace(masters, rate, seconds, text) if rate else flood(masters[0], seconds, text), flush=True)
    sys.stdin.readline()


def adapter(link: Path) -> int:
    """Return the master of a new pseudo-terminal, to which `link` leads."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    link.symlink_to(os.ttyname(slave))
    return master


def text_form(length: int) -> bytes:
    """Return the form of a frame's line: classical with 8 bytes, or CAN FD with bit rate switch and 64 bytes."""
    return b"t1238%016X\r" if length == 8 else b"b123F%016X" + b"00" * (length - 8) + b"\r"


def answer_until_open(masters: list[int]) -> None:
    """Acknowledge every command until each channel is opened."""
    waiting = set(masters)
    while waiting:
        for master in select.select(list(waiting), [], [])[0]:
            commands = os.read(master, 4096)
            os.write(master, b"\r" * commands.count(b"\r"))
            if b"O\r" in commands:
                waiting.discard(master)


def flood(master: int, seconds: float, form: bytes) -> int:
    """Write frames as fast as the host reads the terminal. Return their number."""
    sent = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = b"".join([form % number for number in range(sent, sent + _PIECE)])
        while text:
            text = text[os.write(master, text) :]
        sent += _PIECE
    return sent


def pace(masters: list[int], rate: float, seconds: float, form: bytes) -> int:
    """Send each frame when it is due, to half a millisecond, or when there is room for it. Return how many were due."""
    sent = 0
    waiting = dict.fromkeys(masters, b"")
    for master in masters:
        os.set_blocking(master, False)
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds or (
        any(waiting.values()) and passed < 2 * seconds
    ):
        due = int(min(passed, seconds) * rate)
        for master in masters:
            text = waiting[master] + form % time.time_ns() * (due - sent)
            if text:
                with contextlib.suppress(BlockingIOError):
                    text = text[os.write(master, text) :]
                waiting[master] = text
        sent = due
        next_s = started + (sent + 1) / rate
        time.sleep(min(max(_TICK_S, next_s - time.monotonic()), 0.1))
    return sent


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
