"""The shell commands that install cancorderd, as it is installed here, into an environment that a service can see."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from cancorderd.installation.environment import hidden

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "/opt/cancorderd"
_NAME = "cancorderd"
_CANDIDATES = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
_FOLDERS = ("/usr/bin", "/usr/local/bin")
_IS_USABLE = "import sys; sys.exit(sys.version_info < (3, 11))"
_MAKES_ENVIRONMENTS = "import ensurepip, venv"
_EXTRA = re.compile(r"extra\s*==\s*[\"']([\w.-]+)[\"']")
_REQUIRED = re.compile(r"[A-Za-z0-9._-]+")
_FOR_TESTS = "test"


def commands(*, as_root: bool) -> list[str]:
    """Return the lines for a shell; none if there is no Python 3.11 or later that the service could see."""
    python = python_for_service()
    if python is None:
        return []
    sudo = "" if as_root else "sudo "
    lines = [
        f"{sudo}{python} -m venv {FOLDER}",
        f"{sudo}{FOLDER}/bin/python -m pip install --upgrade {shlex.quote(requirement())}",
        f"{sudo}{FOLDER}/bin/cancorderctl service install",
    ]
    if not _succeeds(python, _MAKES_ENVIRONMENTS) and shutil.which("apt-get"):
        return [f"{sudo}apt-get install -y python3-venv", *lines]
    return lines


def python_for_service() -> str | None:
    """Return a Python that is new enough and not in a home: best the one of this environment."""
    for candidate in _pythons():
        if os.access(candidate, os.X_OK) and not hidden(candidate) and _succeeds(candidate, _IS_USABLE):
            return candidate
    return None


def _pythons() -> Iterator[str]:
    yield os.path.realpath(sys.executable)
    for name in _CANDIDATES:
        for folder in _FOLDERS:
            yield os.path.join(folder, name)


def _succeeds(python: str, program: str) -> bool:
    return not subprocess.run(
        [python, "-I", "-c", program], check=False, stderr=subprocess.DEVNULL
    ).returncode


def requirement() -> str:
    """Return what pip has to install for the same version from the same origin, with the same extras."""
    try:
        distribution = metadata.distribution(_NAME)
    except metadata.PackageNotFoundError:
        return _NAME
    extras = installed_extras(distribution.requires or [])
    return origin(distribution.read_text("direct_url.json"), distribution.version, extras)


def origin(direct_url: str | None, version: str, extras: list[str]) -> str:
    """Return the argument for pip. `direct_url`: where the package came from if not by its name (PEP 610)."""
    suffix = f"[{','.join(extras)}]" if extras else ""
    by_name = f"{_NAME}{suffix}=={version}"
    if not direct_url:
        return by_name
    record = json.loads(direct_url)
    url = str(record["url"])
    if "vcs_info" in record:
        information = record["vcs_info"]
        return f"{_NAME}{suffix} @ {information['vcs']}+{url}@{information['commit_id']}"
    if not url.startswith("file:"):
        return f"{_NAME}{suffix} @ {url}"
    path = unquote(urlsplit(url).path)
    return f"{path}{suffix}" if os.path.exists(path) else by_name


def installed_extras(requirements: list[str]) -> list[str]:
    """Return the extras of which every requirement is installed."""
    needed: dict[str, list[str]] = {}
    for line in requirements:
        extra, name = _EXTRA.search(line), _REQUIRED.match(line)
        if extra and name and extra[1] != _FOR_TESTS:
            needed.setdefault(extra[1], []).append(name[0])
    return sorted(extra for extra, names in needed.items() if all(map(_is_installed, names)))


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
