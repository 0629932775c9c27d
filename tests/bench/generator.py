"""An slcan adapter that sends numbered, time-stamped frames: `generator LINK RATE SECONDS` (RATE 0: as fast as read).

Prints `open` once the host has opened the channel, begins at the line `go`, prints how many it sent.
The payload is the sender's clock (nanoseconds since the epoch), so that a client can tell the delay.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import sys
import time
import tty

_PIECE = 50


def main(link: str, rate: float, seconds: float) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.symlink(os.ttyname(slave), link)
    answer_until_open(master)
    print("open", flush=True)
    sys.stdin.readline()
    sent = flood(master, seconds) if not rate else pace(master, rate, seconds)
    print(sent, flush=True)
    sys.stdin.readline()


def answer_until_open(master: int) -> None:
    """Say yes to every command up to the one that opens the channel."""
    while True:
        commands = os.read(master, 4096)
        os.write(master, b"\r" * commands.count(b"\r"))
        if b"O\r" in commands:
            return


def flood(master: int, seconds: float) -> int:
    """Blocking writes: the terminal takes what the host reads."""
    sent = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = b"".join([b"t1238%016X\r" % number for number in range(sent, sent + 10 * _PIECE)])
        while text:
            text = text[os.write(master, text) :]
        sent += 10 * _PIECE
    return sent


def pace(master: int, rate: float, seconds: float) -> int:
    """As evenly as a bus is: each frame when it is due, to the millisecond. What has no room is lost."""
    sent = 0
    os.set_blocking(master, False)
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds:
        due = int(passed * rate)
        if sent < due:
            now = time.time_ns()
            text = b"t1238%016X\r" % now * (due - sent)
            with contextlib.suppress(BlockingIOError):
                os.write(master, text)
            sent = due
        select.select([], [], [], 0.0005)
    return sent


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
