"""The file that `cancorderctl detect --write NAME` writes: NAME.toml in the drop-in folder.

It never replaces a file, and is removed again if the configuration would not load with it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cancorderd.config.loading import ConfigurationError, load

if TYPE_CHECKING:
    from pathlib import Path


class NotWritten(Exception):
    """The file was not written; `str()` is the reason with its remedy."""


class NotPermitted(NotWritten):
    """The user may not write there."""


def write(path: Path, text: str) -> None:
    """Write the file, and make its folder if that is missing. Raises NotWritten or NotPermitted."""
    try:
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise NotWritten(f"{path} exists already. Choose another name, or remove it first.") from None
    except PermissionError:
        raise NotPermitted(f"no permission to write {path}. Run it again with sudo.") from None
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        path.unlink()
        raise _not_written(path, error) from error


def check(path: Path, main: Path, names: set[str]) -> str:
    """Load `main` with the new file in place; return what remains to be done, or an empty string.

    If the new file contains mistakes, alone or together with other files, it is removed and NotWritten raised.
    """
    try:
        configuration = load(main)
    except ConfigurationError as error:
        own = [str(problem) for problem in error.problems if problem.path == str(path)]
        if own:
            path.unlink()
            raise NotWritten("\n".join([*own, f"{path} was not written."])) from None
        return f"{error.problems[0]}"
    if names <= {bus.name for bus in configuration.buses}:
        return ""
    return f'{main} does not include it. Add to its beginning: include = ["{path.parent}/*.toml"]'


def _not_written(path: Path, error: OSError) -> NotWritten:
    return NotWritten(f"{path} cannot be written: {error.strerror}.")
