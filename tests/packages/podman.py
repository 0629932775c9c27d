"""Podman with a storage of its own, so that a test leaves nothing on the machine."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 300
READ_ONLY = (
    "--read-only",
    "--read-only-tmpfs=false",  # Podman's own; Docker has none
    *("--tmpfs", "/run/cancorder", "--tmpfs", "/tmp"),
    *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
)
"""The rights that contrib/containers/compose.yaml grants."""
_LIMITS = ("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")
"""Podman would raise them, which a machine may refuse."""


class Podman:
    """The command, as root; containers share this process's network."""

    def __init__(self, folder: Path) -> None:
        self._command = [
            "podman",
            *("--root", str(folder / "root"), "--runroot", str(folder / "run")),
            # runc works with either version of control groups, and with both at once.
            *("--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none"),
        ]

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [*self._command, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        assert done.returncode == 0 or not check, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    def start(self, name: str, *arguments: str) -> None:
        self("run", "--detach", "--name", name, "--network", "host", *_LIMITS, *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self("run", "--rm", "--network", "host", *_LIMITS, *arguments, check=False)

    def state(self, name: str) -> dict[str, Any]:
        (container,) = json.loads(self("inspect", name).stdout)
        state: dict[str, Any] = container["State"]
        return state
