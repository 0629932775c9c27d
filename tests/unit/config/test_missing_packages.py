"""Packages that a configuration needs and that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cancorderd.config import missing_packages
from cancorderd.config.loading import load
from cancorderd.config.missing_packages import load_with_packages
from cancorderd.config.problem import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

BUSES = """
[defaults]
record = { format = "mf4" }
[bus.a]
interface = "mock"
[bus.b]
interface = "replay"
file = "drive.MF4.gz"
record = { format = "blf" }
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "cancorder.toml"
    path.write_text(BUSES)
    return str(path)


def test_each_use_is_a_mistake_at_its_line(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_packages, "is_installed", lambda _name: False)
    with pytest.raises(ConfigurationError) as raised:
        load_with_packages(file)
    fact = "mf4 needs the Python package asammdf, which is not installed. Install it: "
    first, second = map(str, raised.value.problems)
    assert first.startswith(f"{file}:3: bus.a.record.format: {fact}")
    assert second.startswith(f"{file}:8: bus.b.file: {fact}")


def test_the_daemon_loads_it_all_the_same_and_so_does_check_with_the_package(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(load(file).buses) == 2
    monkeypatch.setattr(missing_packages, "is_installed", lambda _name: True)
    assert len(load_with_packages(file).buses) == 2
