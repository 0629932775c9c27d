"""The benchmark of the hub itself works: each of its parts, for a moment."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.fleet.__main__ import PARTS
from tests.support.harness import PATIENCE_S, ROOT
from tests.support.nats_server import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it"),
    pytest.mark.skipif(
        sys.platform != "linux", reason="processor time and memory are read as Linux has them"
    ),
]


def measured(part: str, folder: Path) -> dict[str, Any]:
    file = folder / "run.json"
    command = [sys.executable, "-m", "tests.bench.fleet", part, "--seconds", "0.2", "--json", str(file)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=5 * PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_the_benchmark_measures(part: str, tmp_path: Path) -> None:
    run = measured(part, tmp_path)
    figures = [figure for row in run["rows"] for figure in row["figures"].values()]
    figures += [
        each[key] for each in (*run["capacity"], *run["growth"]) for key in ("us", "cpu", "messages_per_s")
    ]
    assert figures
    assert all(figure > 0 for figure in figures), run
    assert all(row["figures"]["forwarder"] < 110 for row in run["rows"] if row["unit"] == "% of it")


def test_a_part_that_fails_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "openssl").write_text("#!/bin/sh\nexit 1\n")
    (broken / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(broken), prepend=":")
    with pytest.raises(AssertionError, match=r"Failed: growth\. The run is not whole"):
        measured("growth", tmp_path)
