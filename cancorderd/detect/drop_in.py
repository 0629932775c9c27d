"""The file that `cancorderctl detect --write NAME` makes: NAME.toml in the folder of drop-ins.

Never over a file that exists, and never one that would keep the configuration from loading.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cancorderd.config.load import ConfigurationError, load

if TYPE_CHECKING:
    from pathlib import Path


class NotWritten(Exception):
    """Why the file is not there now; one sentence with its remedy."""


class NotPermitted(NotWritten):
    """The user may not write there."""


def write(path: Path, text: str) -> None:
    """Make the file, and its folder where that is missing. Raises NotWritten or NotPermitted."""
    try:
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise NotWritten(f"{path} exists already. Choose another name, or remove it first.") from None
    except PermissionError:
        raise NotPermitted(f"no permission to write {path}. Run it again with sudo.") from None
    except OSError as error:
        raise NotWritten(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        path.unlink()
        raise NotWritten(f"{path} cannot be written: {error.strerror}.") from error


def check(path: Path, main: Path, names: set[str]) -> str:
    """Load `main` with the new file in place: what remains to be done, or nothing.

    Raises NotWritten, the file removed again, where it holds mistakes together with the other files.
    """
    try:
        configuration = load(main)
    except ConfigurationError as error:
        mine = [str(problem) for problem in error.problems if problem.path == str(path)]
        if mine:
            path.unlink()
            raise NotWritten("\n".join([*mine, f"{path} was not written."])) from None
        return f"{error.problems[0]}"
    if names <= {bus.name for bus in configuration.buses}:
        return ""
    return f'{main} does not take it in. Add to its beginning: include = ["{path.parent}/*.toml"]'
