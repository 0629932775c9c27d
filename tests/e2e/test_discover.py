"""`cancorderctl discover`, and `dump` of what it finds, on a network of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.harness import ROOT


def test_loggers_are_listed_and_dumped_by_name() -> None:
    apart = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace may be made here")
    done = subprocess.run(
        [*apart, sys.executable, "-W", "error", "-m", "tests.e2e.discovered"],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
