"""Two gateways, a hub and a viewer on machines of their own, whose links are cut: `outage_as_root` in namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.fleet.chain import LINES
from tests.fleet.test_drills import LONG
from tests.support.harness import PATIENCE_S, ROOT
from tests.support.nats_server import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

CUT_S = 600 if LONG else 4
RATE = 9009 if LONG else 500
"""Frames per second of each bus; 9,009 is a full one."""


@pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")
@pytest.mark.skipif(os.getuid() != 0, reason="needs root, for namespaces")
@pytest.mark.timeout(0)
def test_links_of_two_gateways_are_cut(tmp_path: Path) -> None:
    for program in ("unshare", "nsenter", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        [
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *(sys.executable, "-m", "tests.fleet.outage_as_root", tmp_path, str(CUT_S), str(RATE)),
        ],
        capture_output=True, text=True, check=False, timeout=8 * PATIENCE_S + 5 * CUT_S, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.endswith("lost none\n"), f"{done.stdout}\n{done.stderr}"
    LINES.append(done.stdout.splitlines()[-1])
