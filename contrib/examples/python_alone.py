#!/usr/bin/env python3
"""Prints the frames of a bus, with nothing but Python (3.9 or later).

usage: python_alone.py HOST PORT [COUNT]
"""

import signal
import socket
import struct
import sys
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

HEADER = struct.Struct(">QIBB")  # time stamp (us since 1970), arbitration id, flags, length in bytes
EXTENDED, FD = 1, 2  # bits of flags; BRS is 4, ESI is 8
LONGEST = 64

Frame = tuple[int, int, int, bytes]


def frames(stream: BinaryIO) -> Iterator[Frame]:
    """Yield time stamp, arbitration id, flags and data of each frame until the server ends the stream."""
    while header := stream.read(HEADER.size):  # waits for all of its bytes; fewer only at the end
        if len(header) < HEADER.size:
            sys.exit("the stream ended within a packet")
        timestamp_us, arbitration_id, flags, length = HEADER.unpack(header)
        if length > LONGEST:
            sys.exit("this is not the ECUconnect Logger protocol")
        data = stream.read(length)
        if len(data) < length:
            sys.exit("the stream ended within a packet")
        yield timestamp_us, arbitration_id, flags, data


def line(timestamp_us: int, arbitration_id: int, flags: int, data: bytes) -> str:
    """Format a frame as candump does: ## and a digit (1: BRS, 2: ESI) stand for CAN FD."""
    name = f"{arbitration_id:08X}" if flags & EXTENDED else f"{arbitration_id:03X}"
    mark = f"##{flags >> 2:X}" if flags & FD else "#"
    return f"({timestamp_us // 1_000_000}.{timestamp_us % 1_000_000:06}) {name}{mark}{data.hex().upper()}"


def main() -> None:
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    host, port = sys.argv[1:3]
    count = int(sys.argv[3]) if sys.argv[3:] else None
    for name in ("SIGINT", "SIGPIPE"):  # Ctrl+C, or nobody reads the output: end without a message
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        connection = socket.create_connection((host, port), timeout=5)
    except OSError as error:
        sys.exit(f"{host} port {port}: {error.strerror or error}")
    connection.settimeout(None)  # a bus may be silent for any time
    try:
        for frame in islice(frames(connection.makefile("rb")), count):
            print(line(*frame), flush=True)
    except OSError as error:
        sys.exit(f"{host} port {port}: {error.strerror or error}")


if __name__ == "__main__":
    main()
