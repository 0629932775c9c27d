"""Runs the demo in this (fresh) network namespace and does what it prints; fails by an exception."""

from __future__ import annotations

import fcntl
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time

from tests.harness import ROOT, Client, poll

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def bring_loopback_up() -> None:
    with socket.socket() as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))


def main() -> None:
    bring_loopback_up()
    with tempfile.TemporaryDirectory() as runtime:
        environment = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": runtime, "HOME": runtime}
        demo = subprocess.Popen(
            ["contrib/demo"], cwd=ROOT, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            printed = ""
            assert demo.stdout
            while "Ctrl+C ends the demo" not in printed:
                line = demo.stdout.readline()
                assert line, printed
                printed += line
            check(printed, environment)
        finally:
            demo.send_signal(signal.SIGINT)
            began = time.monotonic()
            assert demo.wait(20) == 0
            assert time.monotonic() - began < 3


def check(printed: str, environment: dict[str, str]) -> None:
    ready = time.monotonic()
    port = int(re.findall(r"port (\d+)", printed)[0])
    with Client(port) as viewer:
        # A session: the tester asks the ECU (0x7E0) for a diagnostic session (UDS 0x10), the ECU says yes (0x50).
        asked = poll(lambda: [one for one in viewer.frames if one.arbitration_id == 0x7E0], 2)
        assert asked[0].data[1] == 0x10, asked
        answers = poll(lambda: [one for one in viewer.frames if one.arbitration_id == 0x7E8], 2)
        assert answers[0].data[1] == 0x50, answers
        assert time.monotonic() - ready < 2
        command = re.search(r"^ +(\S*cancorderctl .*status)$", printed, re.MULTILINE)
        assert command, printed
        for line in (command[1], command[1].split()[0] + " status"):
            status = subprocess.run(
                line.split(), capture_output=True, text=True, check=False, env=environment
            )
            assert "1 of 1 buses running" in status.stdout, status
        assert not viewer.error


if __name__ == "__main__":
    main()
