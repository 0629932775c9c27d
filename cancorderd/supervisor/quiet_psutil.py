"""psutil without its traceback: Debian 12's (5.9) prints one as it is imported in a sandbox without /proc/stat (ProcSubset=pid)."""

from __future__ import annotations

import contextlib
import io

with contextlib.redirect_stderr(io.StringIO()):
    import psutil

__all__ = ["psutil"]
