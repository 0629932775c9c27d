"""Import of a library without another that it would load if it can, and does without."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def absent(name: str) -> Iterator[None]:
    """Let imports of this module fail in the block, unless this process has imported it already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment] # docs.python.org, "The module cache": ModuleNotFoundError
    try:
        yield
    finally:
        del sys.modules[name]
