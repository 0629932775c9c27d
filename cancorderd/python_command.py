"""The command that starts a module of this package as a process of its own. Pure.

`python -m` alone would search the current folder first: a file `json.py` there would run in a worker, as root
if the daemon was started with sudo.
"""

from __future__ import annotations

import sys


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with the Python of this process, without modules of the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]
