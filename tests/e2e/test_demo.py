"""`contrib/demo` as a new user runs it, in a network namespace of its own, since it announces itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.harness import ROOT


def test_demo_serves_a_bus_and_cancorderctl_works_against_it() -> None:
    # Outside first: the virtual environment may have to be made, which needs the network.
    subprocess.run(["contrib/demo", "--help"], cwd=ROOT, check=True, capture_output=True, timeout=600)
    apart = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace may be made here")
    done = subprocess.run(
        [*apart, sys.executable, "-m", "tests.e2e.demo_as_user"],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
