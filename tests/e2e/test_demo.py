"""`contrib/demo` as a new user runs it; in a network namespace, since it announces itself."""

from __future__ import annotations

import subprocess

from tests.support.harness import ROOT
from tests.support.network_namespace import run_module


def test_demo_serves_a_bus_and_cancorderctl_queries_it() -> None:
    # The virtual environment may have to be made first, which needs the network.
    subprocess.run(["contrib/demo", "--help"], cwd=ROOT, check=True, capture_output=True, timeout=600)
    done = run_module("tests.e2e.demo_as_user")
    assert done.returncode == 0, done.stdout + done.stderr
