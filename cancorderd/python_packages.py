"""Python packages that only some configurations need: whether one is there, and the command that installs it for this program."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from importlib.util import find_spec

PRIVATE_FOLDER = "/usr/lib/cancorderd"
"""Folder of the packages of a distribution, to which only these add."""
ADDED_FOLDER = "/usr/local/lib/cancorderd"
"""Folder beside it for what the administrator adds: the distribution's commands search it, too."""

_PIP = {
    "apt-get": "sudo apt-get install python3-pip && ",
    "dnf": "sudo dnf install python3-pip && ",
    "pacman": "sudo pacman -S --needed python-pip && ",
}
"""Commands that install pip, by the program of the distribution."""


def is_installed(package: str) -> bool:
    """Return whether a package can be found, without importing it."""
    return package in sys.modules or find_spec(package) is not None


def install_command(package: str) -> str:
    """Return the shell command that installs a package where this program finds it."""
    if __file__.startswith(f"{PRIVATE_FOLDER}/"):
        pip = next((command for tool, command in _PIP.items() if shutil.which(tool)), "")
        return f"{pip}sudo python3 -m pip install --target {ADDED_FOLDER} {package}"
    if os.path.exists(os.path.join(sys.prefix, "pipx_metadata.json")):
        return f"pipx inject cancorderd {package}"
    if os.path.exists(os.path.join(sys.prefix, "uv-receipt.toml")):
        return f"uv tool install --with {package} cancorderd"
    python = shlex.quote(sys.executable)
    if find_spec("pip") is None:
        return f"uv pip install --python {python} {package}"
    return f"{python} -m pip install {package}"
