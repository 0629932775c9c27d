"""A client that costs little: `viewer PORT`. At end of input prints, as JSON, what arrived and how late.

Every packet has 22 bytes here, so that it can unpack by thousands.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time

_PACKET = struct.Struct(">QIBBQ")


def main(port: int) -> None:
    sock = socket.create_connection(("127.0.0.1", port))
    print("connected", flush=True)
    rest = b""
    count = jumps = 0
    expected = 0
    delays_us: list[int] = []
    first_s = last_s = 0.0
    sock.settimeout(1.5)
    while True:
        try:
            data = sock.recv(1 << 18)
        except TimeoutError:
            if count:
                break
            continue
        if not data:
            break
        now_ns = time.time_ns()
        last_s = time.monotonic()
        first_s = first_s or last_s
        rest += data
        whole = len(rest) - len(rest) % _PACKET.size
        numbers = [fields[4] for fields in _PACKET.iter_unpack(rest[:whole])]
        rest = rest[whole:]
        if not numbers:
            continue
        if numbers[0] > 1 << 50:  # clocks, not numbers
            delays_us.append((now_ns - numbers[-1]) // 1000)
        elif numbers != list(range(expected, expected + len(numbers))):
            jumps += 1
            expected = numbers[-1] + 1
        else:
            expected += len(numbers)
        count += len(numbers)
    delays_us.sort()
    print(
        json.dumps(
            {
                "count": count,
                "jumps": jumps,
                "seconds": last_s - first_s,
                "median_us": delays_us[len(delays_us) // 2] if delays_us else None,
                "p99_us": delays_us[len(delays_us) * 99 // 100] if delays_us else None,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
