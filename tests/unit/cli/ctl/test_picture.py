"""The README's picture equals the page of `status --watch`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_picture_is_up_to_date(tmp_path: Path) -> None:
    drawn = tmp_path / "picture.svg"
    subprocess.run([sys.executable, "contrib/picture.py", drawn], cwd=ROOT, check=True)
    assert drawn.read_text() == (ROOT / "contrib/status-watch.svg").read_text(), "run contrib/picture.py"


def test_picture_loads_nothing_from_elsewhere() -> None:
    text = (ROOT / "contrib/status-watch.svg").read_text()
    assert text.count("http") == text.count("http://www.w3.org/2000/svg")
