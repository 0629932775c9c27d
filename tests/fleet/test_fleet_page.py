"""The guide's page "A fleet in fifteen minutes", word for word, with the real nats-server and a real daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import ROOT
from tests.support.nats_server import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 850
PATIENCE_S = "200"
"""For each step: a forwarder that starts slowly on a busy machine is replaced once."""


@pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")
@pytest.mark.skipif(os.getuid() != 0, reason="needs root, for namespaces")
def test_page_holds(tmp_path: Path) -> None:
    for program in ("unshare", "setpriv", "groupadd", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    # The hub runs as a user of its own, who has to reach its folders.
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    done = subprocess.run(
        [
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *(sys.executable, "-m", "tests.fleet.fleet_page_as_root", tmp_path),
        ],
        capture_output=True, text=True, check=False, timeout=DEADLINE_S, cwd=ROOT,
        env={**os.environ, "CANCORDER_TEST_PATIENCE": PATIENCE_S},
    )  # fmt: skip
    logs = "".join(file.read_text(errors="replace")[-3000:] for file in sorted(tmp_path.glob("*.log")))
    assert done.stdout.endswith("the page holds\n"), f"{done.stdout}\n{done.stderr}\n{logs}"
