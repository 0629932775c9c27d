"""An import of psutil that prints nothing, whatever psutil prints."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_traceback_of_the_import_is_not_printed(tmp_path: Path) -> None:
    """As psutil 5.9 prints it."""
    (tmp_path / "psutil.py").write_text(
        "import traceback\ntry:\n    open('/nowhere/stat')\nexcept OSError:\n    traceback.print_exc()\n"
    )
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\nfrom cancorderd.supervisor.quiet_psutil import psutil\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code + "print(psutil.__file__)"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == f"{tmp_path / 'psutil.py'}\n"
    assert done.stderr == ""
