#!/usr/bin/env python3
"""Prints the frames of a bus, with cancorderd's own client.

usage: python_with_package.py HOST PORT [COUNT]
"""

import signal
import sys
from itertools import islice

from cancorderd.client import Frame, WireError, connect
from cancorderd.protocol.frame import EXTENDED, FD


def line(frame: Frame) -> str:
    """Format a frame as candump does: ## and a digit (1: BRS, 2: ESI) stand for CAN FD."""
    seconds, microseconds = divmod(frame.timestamp_us, 1_000_000)
    name = f"{frame.arbitration_id:08X}" if frame.flags & EXTENDED else f"{frame.arbitration_id:03X}"
    mark = f"##{frame.flags >> 2:X}" if frame.flags & FD else "#"
    return f"({seconds}.{microseconds:06}) {name}{mark}{frame.data.hex().upper()}"


def main() -> None:
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    host, port = sys.argv[1], int(sys.argv[2])
    count = int(sys.argv[3]) if sys.argv[3:] else None
    for name in ("SIGINT", "SIGPIPE"):  # Ctrl+C, or nobody reads the output: end without a message
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        with connect(host, port) as frames:
            for frame in islice(frames, count):
                print(line(frame), flush=True)
    except (OSError, WireError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
