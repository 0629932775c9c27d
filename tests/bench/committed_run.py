"""Where the last run is kept that the guide and README show."""

from __future__ import annotations

from tests.support.harness import ROOT

PICTURES = ROOT / "contrib/guide/how-fast"
RUN = PICTURES / "run.json"
PAGE = ROOT / "contrib/guide/how-fast.md"
README = ROOT / "README.md"
LAB_RUN = PICTURES / "socketcan.json"
