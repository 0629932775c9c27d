#!/usr/bin/env python3
"""An emulated slcan (LAWICEL) CAN adapter on a pseudo terminal.

  slcan_adapter.py --link /tmp/slcan0 --rate 1000

prints the terminal's name (and keeps --link pointing at it) and emulates the
adapter there: S0..S9 and s (bit rate), Y (data bit rate), O, L, C, V, N, F,
Z0/Z1 (time stamps), M, m, t T r R, and with --fd d D b B. While open it
streams frames, id 0x100 with a counter, at --rate (0: none; "max": as fast as
the host reads). Frames from the host are acknowledged (z, Z), and printed
with --log. Lines on standard input, or in the FIFO that --control names,
control it:

  frame t1232AABB   send this line
  rate 50           stream at this rate
  raw 7431          send these bytes (hex): garbage, half a frame
  mute on|off       stop or resume answers and frames
  flags 04          error bits for the answer to F
  unplug  plug      close the terminal; open a new terminal (--link follows)
  status  quit

Needs no root and no CAN in the kernel. With Linux's own driver: slcand -o -s6
"""

import argparse
import contextlib
import os
import pty
import select
import sys
import time
import tty
from pathlib import Path

OK, BELL = b"\r", b"\a"
FD_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)
RATE_MAX = float("inf")


class EmulatedSlcan:
    """The adapter; serve() runs it until `quit` or for a time."""

    def __init__(
        self, link: str | None = None, rate: float = 0.0, fd: bool = False, log: bool = False
    ) -> None:
        self.link, self.rate, self.fd, self.log = link, rate, fd, log
        self.open = self.listen_only = self.muted = self.stamps = False
        self.bitrate: str | None = None
        self.flags = 0
        self.received = self.sent = self.lost = 0
        self.master: int | None = None
        self.slave: int | None = None
        self.name = ""
        self._input = self._rest = b""
        self._due = 0.0

    def plug(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.name = os.ttyname(self.slave)
        self.open, self.bitrate = False, None
        self._input = self._rest = b""
        if self.link:
            new = Path(f"{self.link}.new")
            new.unlink(missing_ok=True)
            new.symlink_to(self.name)
            new.replace(self.link)

    def unplug(self) -> None:
        if self.master is not None and self.slave is not None:
            os.close(self.slave)
            os.close(self.master)
            self.master = self.slave = None
            self.open = False
            if self.link:
                Path(self.link).unlink(missing_ok=True)

    # --- the protocol --------------------------------------------------------

    def answer(self, command: str) -> bytes:
        """Return the answer to a command, which comes without its CR."""
        if not command:
            return OK
        kind, rest = command[:1], command[1:]
        if kind in "trTRdDbB":
            return self.transmit(kind, rest)
        if kind == "V":
            return b"V1013\r"
        if kind == "N":
            return b"NLAB1\r"
        if kind == "F":
            return b"F%02X\r" % self.flags if self.open else BELL
        if kind in "SsYZMm" and rest:
            if self.open:
                return BELL
            if kind in "Ss":
                self.bitrate = command
            elif kind == "Z":
                self.stamps = rest == "1"
            return OK
        if command in ("O", "L"):
            if self.open or self.bitrate is None:
                return BELL
            self.open, self.listen_only = True, command == "L"
            self._due = time.monotonic()
            return OK
        if command == "C":
            was_open, self.open = self.open, False
            return OK if was_open else BELL
        return BELL

    def transmit(self, kind: str, rest: str) -> bytes:
        digits = 8 if kind.isupper() else 3
        try:
            int(rest[:digits], 16)
            dlc = int(rest[digits], 16)
            data = bytes.fromhex(rest[digits + 1 :])
        except (ValueError, IndexError):
            return BELL
        if kind in "dDbB":
            valid = self.fd and len(data) == FD_LENGTHS[dlc]
        else:
            valid = dlc <= 8 and len(data) == (0 if kind in "rR" else dlc)
        if not (valid and self.open and not self.listen_only):
            return BELL
        self.received += 1
        if self.log:
            print(kind + rest, flush=True)
        return b"Z\r" if kind.isupper() else b"z\r"

    def handle(self, data: bytes) -> None:
        *commands, self._input = (self._input + data).split(b"\r")
        for command in commands:
            reply = self.answer(command.decode("ascii", "replace").strip("\n"))
            if not self.muted:
                self.write(reply)

    def write(self, data: bytes) -> None:
        """Write at once or, if the host's buffer is full, at the next flush()."""
        self._rest += data
        self.flush()

    def flush(self) -> bool:
        """Write the rest; return True if nothing is left."""
        with contextlib.suppress(BlockingIOError):
            if self._rest and self.master is not None:
                self._rest = self._rest[os.write(self.master, self._rest) :]
        return not self._rest

    def stream(self) -> None:
        """Write the frames that are due."""
        now = time.monotonic()
        room = self.flush()
        if not self.open or self.muted or not self.rate:
            self._due = now
        elif self.rate == RATE_MAX:  # wait for the host, so that no frame is lost
            if room:
                self.write(b"".join(self.next_frame(now) for _ in range(50)))
        else:
            self._due = max(self._due, now - 0.2)
            while self._due < now:
                self._due += 1 / self.rate
                line = self.next_frame(now)
                if self.flush():
                    self.write(line)
                else:  # as if the adapter's buffer were full
                    self.lost += 1

    def next_frame(self, now: float) -> bytes:
        stamp = b"%04X" % (int(now * 1000) % 60000) if self.stamps else b""
        self.sent += 1
        return b"t1008%08X00000000%s\r" % (self.sent & 0xFFFFFFFF, stamp)

    # --- running ---------------------------------------------------------------

    def obey(self, line: str) -> bool:
        word, *args = line.split()
        if word == "frame":
            self.write(args[0].encode() + b"\r")
        elif word == "raw":
            self.write(bytes.fromhex(args[0]))
        elif word == "rate":
            self.rate = RATE_MAX if args[0] == "max" else float(args[0])
        elif word == "mute":
            self.muted = args[0] == "on"
        elif word == "flags":
            self.flags = int(args[0], 16)
        elif word == "unplug":
            self.unplug()
        elif word == "plug":
            self.plug()
            print(self.name, flush=True)
        elif word == "status":
            print(
                f"open={self.open} bitrate={self.bitrate} sent={self.sent} "
                f"lost={self.lost} received={self.received}",
                flush=True,
            )
        elif word == "quit":
            return False
        else:
            print(f"unknown: {line}", file=sys.stderr)
        return True

    def serve(self, seconds: float | None = None, steer: int | None = 0) -> None:
        """Run; commands come from the descriptor `steer`."""
        end = time.monotonic() + seconds if seconds else None
        lines = b""
        while end is None or time.monotonic() < end:
            sources = [fd for fd in (self.master, steer) if fd is not None]
            busy = self.open and self.rate
            writers = [fd for fd in (self.master,) if fd is not None and busy and self.rate == RATE_MAX]
            ready, _, _ = select.select(sources, writers, [], 0.001 if busy else 0.1)
            if self.master in ready:
                with contextlib.suppress(BlockingIOError):
                    self.handle(os.read(self.master, 4096))
            if steer in ready:
                data = os.read(steer, 4096)
                if not data:
                    steer = None
                *commands, lines = (lines + data).split(b"\n")
                for command in commands:
                    try:
                        if command.strip() and not self.obey(command.decode()):
                            return
                    except (ValueError, IndexError, OSError) as error:
                        print(f"{command.decode()}: {error}", file=sys.stderr)
            if self.master is not None:
                self.stream()


def control(path: str) -> int:
    """Open a FIFO, which is made if necessary and stays open while writers come and go."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path)
    return os.open(path, os.O_RDWR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--link", metavar="PATH")
    parser.add_argument("--rate", default="0", metavar="N|max")
    parser.add_argument("--fd", action="store_true")
    parser.add_argument("--log", action="store_true")
    parser.add_argument("--control", metavar="FIFO")
    parser.add_argument("--for", type=float, dest="seconds", metavar="S", help="end after S seconds")
    args = parser.parse_args()
    rate = RATE_MAX if args.rate == "max" else float(args.rate)
    adapter = EmulatedSlcan(args.link, rate, args.fd, args.log)
    adapter.plug()
    print(adapter.name, flush=True)
    try:
        adapter.serve(args.seconds, control(args.control) if args.control else 0)
    except KeyboardInterrupt:
        pass
    finally:
        adapter.unplug()


if __name__ == "__main__":
    main()
