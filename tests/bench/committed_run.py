"""Where the last run is kept that the guide and README show."""

from __future__ import annotations

from tests.support.harness import ROOT

PICTURES = ROOT / "contrib/guide/how-fast"
RUN = PICTURES / "run.json"
PAGE = ROOT / "contrib/guide/how-fast.md"
README = ROOT / "README.md"
LAB_RUN = PICTURES / "socketcan.json"
HUB_PICTURES = ROOT / "contrib/guide/fleet"
HUB_RUN = HUB_PICTURES / "hub.json"
FLEET_PAGE = ROOT / "contrib/guide/fleet.md"
FORWARDING_PAGE = ROOT / "contrib/guide/forwarding.md"
