"""Where the Debian package's parts come from. That it installs, the lab tests: `guest/test_package`."""

import importlib.util
import shutil
import tomllib
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType

import pytest

from cancorderd.client.python_can import EcuconnectBus

ROOT = Path(__file__).parents[2]


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"packaging/debian/{name}.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


dependencies = module("dependencies")
texts = module("texts")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What decides where packages come from, to be changed."""
    for name in ("pyproject.toml", "tests/requirements.txt", "packaging/debian/dependencies.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_everything_that_the_project_needs_has_a_source() -> None:
    dependencies.Dependencies(ROOT).check_project()


def test_everything_brought_along_has_a_version() -> None:
    pins = dependencies.Dependencies(ROOT).pins()
    assert all("==" in pin for pin in pins)


def test_nothing_is_both_debians_and_brought_along() -> None:
    tables = tomllib.loads((ROOT / "packaging/debian/dependencies.toml").read_text())
    assert not set(tables["debian"]) & set(tables["private"])


def test_a_new_dependency_without_a_source_is_told(checkout: Path) -> None:
    file = checkout / "pyproject.toml"
    file.write_text(file.read_text().replace('"psutil>=5.9"', '"psutil>=5.9", "brand_new>=1"'))
    with pytest.raises(dependencies.MissingSource, match=r"needs brand_new>=1: write into"):
        dependencies.Dependencies(checkout).check_project()


def test_a_package_without_a_version_is_told(checkout: Path) -> None:
    (checkout / "tests/requirements.txt").write_text("aiohttp==3.14.5\n")
    with pytest.raises(dependencies.MissingSource, match="has no version of annotated-types"):
        dependencies.Dependencies(checkout).pins()


def test_requirements_of_other_systems_do_not_count() -> None:
    found = dependencies.Dependencies(ROOT)
    found.check(["win_inet_pton; platform_system == 'Windows'", "sphinx; extra == 'docs'"], "a package")


def test_changes_become_a_change_log_of_debian() -> None:
    text = texts.changelog(
        "# Changes\n\n## 2.0 (unreleased)\n\n- One\n  thing.\n- Two.\n", "2.1", "A <a@b.org>", 0
    )
    assert text == (
        "cancorderd (2.1) bookworm; urgency=medium\n\n  * One thing.\n  * Two.\n\n"
        " -- A <a@b.org>  Thu, 01 Jan 1970 00:00:00 +0000\n"
    )


def test_python_can_finds_the_plug_in_of_the_package(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (tmp_path / "entry_points.txt").write_text(texts.entry_points(project["entry-points"]))
    (found,) = Distribution.at(tmp_path).entry_points.select(group="can.interface")
    assert (found.name, found.load()) == ("ecuconnect", EcuconnectBus)
