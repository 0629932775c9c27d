"""Bills of materials: complete, with versions and purls, and the same bytes for the same contents."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from importlib.metadata import distribution, distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
VERSION = "1.2+deb12"


def module(path: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(
        sys, "path", [str(ROOT / "packaging/debian"), *sys.path]
    )  # scripts, beside each other
    return module("packaging/debian/package.py")


@pytest.fixture
def private(tmp_path: Path, package: Any) -> Path:
    """Make a folder with the metadata of every package that Debian 12 bundles, from the environment of the tests."""
    for pin in package.Release(ROOT, "bookworm").pins():
        name = re.sub(r"[-.]", "_", pin.partition("==")[0])
        site = Path(str(distribution(name).locate_file("")))
        (metadata,) = site.glob(f"{name}-*.dist-info")
        target = tmp_path / metadata.name
        target.mkdir()
        (target / "METADATA").write_bytes((metadata / "METADATA").read_bytes())
        if (metadata / "sboms").is_dir():
            (target / "sboms").mkdir()
            for bill in (metadata / "sboms").iterdir():
                (target / "sboms" / bill.name).write_bytes(bill.read_bytes())
    own = tmp_path / "cancorderd-1.2.dist-info"
    own.mkdir()
    (own / "METADATA").write_text("Metadata-Version: 2.1\nName: cancorderd\nVersion: 1.2\n")
    return tmp_path


def test_the_bill_of_the_debian_package_lists_every_bundled_package(package: Any, private: Path) -> None:
    bill = json.loads(package.bill_of_materials(private, VERSION, "amd64", 0))
    pins = {tuple(pin.split("==")) for pin in package.Release(ROOT, "bookworm").pins()}
    python = {
        f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{distribution(name).version}" for name, _ in pins
    }
    purls = {component["purl"] for component in bill["components"]}
    assert {purl for purl in purls if purl.startswith("pkg:pypi/")} == python
    assert any(purl.startswith("pkg:npm/uplot@") for purl in purls)
    assert all(component["version"] and component["licenses"] for component in bill["components"])
    assert bill["metadata"]["component"]["purl"] == "pkg:deb/cancorderd/cancorderd@1.2%2Bdeb12?arch=amd64"
    assert set(bill["dependencies"][0]["dependsOn"]) == purls


def test_crates_that_are_compiled_into_a_package_are_listed_below_it(package: Any, private: Path) -> None:
    bill = json.loads(package.bill_of_materials(private, VERSION, "amd64", 0))
    (core,) = [each for each in bill["components"] if each["purl"].startswith("pkg:pypi/pydantic-core@")]
    crates = [part["purl"] for part in core["components"]]
    assert crates == sorted(crates)
    assert any(purl.startswith("pkg:cargo/pyo3@") for purl in crates)
    assert not [purl for purl in crates if "autocfg" in purl], "it only helps to build"


def test_the_same_contents_give_the_same_bytes(package: Any, private: Path) -> None:
    first = package.bill_of_materials(private, VERSION, "amd64", 1_700_000_000)
    assert first == package.bill_of_materials(private, VERSION, "amd64", 1_700_000_000)
    assert json.loads(first)["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    other = package.bill_of_materials(private, VERSION, "arm64", 1_700_000_000)
    assert json.loads(first)["serialNumber"] != json.loads(other)["serialNumber"]


def test_every_package_of_the_debian_packages_is_known_here(package: Any) -> None:
    installed = {re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower() for each in distributions()}
    pins = [pin.partition("==")[0] for pin in package.Release(ROOT, "trixie").pins()]
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in pins} <= installed
