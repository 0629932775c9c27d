"""README's picture is what `status --watch` shows now."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_picture_does_not_lag_behind(tmp_path: Path) -> None:
    drawn = tmp_path / "picture.svg"
    subprocess.run([sys.executable, "contrib/picture.py", drawn], cwd=ROOT, check=True)
    assert drawn.read_text() == (ROOT / "contrib/status-watch.svg").read_text(), "run contrib/picture.py"


def test_picture_fetches_nothing() -> None:
    text = (ROOT / "contrib/status-watch.svg").read_text()
    assert text.count("http") == text.count("http://www.w3.org/2000/svg")
