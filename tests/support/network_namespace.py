"""Programs of tests in a network namespace of their own, where each port is free and nobody hears what they announce."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys

from tests.support.harness import ROOT

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def bring_loopback_up() -> None:
    """Bring up `lo` of this process's namespace; a new namespace has it down."""
    with socket.socket() as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))


def run_module(module: str, *arguments: object, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run `python -W error -m MODULE` in a new namespace; skip the test if this machine refuses one."""
    import pytest  # here, since a program in a namespace runs without it, too

    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine refuses a network namespace")
    return subprocess.run(
        [*unshare, sys.executable, "-W", "error", "-m", module, *map(str, arguments)],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=timeout_s,
    )  # fmt: skip
