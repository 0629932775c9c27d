"""The benchmark itself works: a part of it, for a moment."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.bench.compare import compare
from tests.bench.driver_readers import measure_readers
from tests.bench.measurement import Load, measure
from tests.support.harness import PATIENCE_S, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_part_of_the_benchmark_is_printed_and_written(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    command = [sys.executable, "-m", "tests.bench", "fd", "--seconds", "0.2", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(file.read_text())["rows"]
    assert row["figures"]["cancorderd"] > 0
    assert f"| {row['title']} | % of a core |" in done.stdout


def test_a_measurement_counts_what_every_client_of_every_bus_received() -> None:
    result = measure("cancorderd", Load(200, 0.3, clients=2, buses=2))
    assert result["received"] == result["sent"] > 0
    assert len(result["delays_us"]) == 5
    assert 0 < result["us"] < 1e6


def test_every_reader_of_a_driver_is_measured() -> None:
    found = measure_readers(1000)
    assert len(found) == 3
    assert all(0 < us < 1e5 for us in found.values())


def test_two_states_of_the_code_are_measured_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "cancorderd").symlink_to(ROOT / "cancorderd")
    monkeypatch.setattr("tests.bench.compare.LOADS", {"one": (200, 1, 8)})
    (line,) = compare(ROOT, other, rounds=1, seconds=0.2)
    assert line.startswith("one ")
    assert line.endswith(")")
