"""The registry: each row has all that an adapter needs, and loads nothing before it is asked to."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from cancorderd.adapters import registry
from cancorderd.adapters.auto import ORDER
from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.schema import keys
from tests.support.harness import ROOT
from tests.support.settings import valid_settings
from tests.unit.adapters.benches import BENCHES

ROWS = [*registry.ADAPTERS.values(), registry.PYTHON_CAN]
EXAMPLE = (ROOT / "etc/cancorder.toml").read_text()
WITHOUT_BENCH = {
    "socketcan": "needs a CAN interface of the kernel: tests/lab/guest/test_socketcan_frames.py",
    "auto": "opens the adapters of others: test_auto.py",
}
BENCH_NAMES = {"python-can": "virtual"}

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@every_row
def test_settings_belong_to_the_interface(row: registry.Adapter) -> None:
    kind = row.settings_class()
    assert issubclass(kind, BusSettings)
    assert kind.__doc__
    if row is not registry.PYTHON_CAN:
        assert get_args(keys(kind)["interface"].type) == (row.name,)
        assert registry.settings_class(row.name) is kind


@every_row
def test_settings_of_another_interface_are_a_bug(row: registry.Adapter) -> None:
    other = valid_settings("auto") if row.name == "mock" else valid_settings("mock")
    with pytest.raises(TypeError, match="are not"):
        row.open_source(other)


@every_row
def test_example_shows_the_interface(row: registry.Adapter) -> None:
    name = "pcan" if row is registry.PYTHON_CAN else row.name
    assert f'interface = "{name}"' in EXAMPLE


@every_row
def test_guide_has_a_page(row: registry.Adapter) -> None:
    page = ROOT / "contrib/guide/adapters" / f"{row.name.replace('-', '_')}.md"
    assert page.read_text().startswith("# ")
    assert f"]({page.name})" in (page.parent / "README.md").read_text()


@every_row
def test_contract_tests_have_a_bench(row: registry.Adapter) -> None:
    if row.name not in WITHOUT_BENCH:
        assert BENCH_NAMES.get(row.name, row.name) in BENCHES


def test_no_bench_is_left_over() -> None:
    assert {*BENCHES} == {
        BENCH_NAMES.get(row.name, row.name) for row in ROWS if row.name not in WITHOUT_BENCH
    }


def test_a_bus_that_searches_asks_every_adapter_that_has_candidates() -> None:
    assert set(ORDER) == {row.name for row in ROWS if row.candidates}


def test_importing_the_registry_imports_no_adapter() -> None:
    script = "import sys, cancorderd.adapters.registry; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    loaded = {name for name in done.stdout.split() if name.startswith("cancorderd.")}
    assert loaded == {"cancorderd.adapters", "cancorderd.adapters.registry"}
