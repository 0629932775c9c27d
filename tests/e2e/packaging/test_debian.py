"""Parts of the Debian package and their origins. Its installation is tested in the lab: `guest/test_package`."""

import importlib.util
import re
import shutil
import tomllib
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType

import pytest

from cancorderd.client.python_can import EcuconnectBus

ROOT = Path(__file__).parents[3]


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"packaging/debian/{name}.py")
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


dependencies = module("dependencies")
texts = module("texts")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy the files that decide the origin of packages, so that a test can change them."""
    for name in ("pyproject.toml", "tests/requirements.txt", "packaging/debian/dependencies.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_requirement_of_the_project_has_an_origin() -> None:
    dependencies.Dependencies(ROOT).check_project()


def test_every_bundled_package_has_a_fixed_version() -> None:
    pins = dependencies.Dependencies(ROOT).pins()
    assert all("==" in pin for pin in pins)


def test_no_package_is_in_both_tables() -> None:
    tables = tomllib.loads((ROOT / "packaging/debian/dependencies.toml").read_text())
    assert not set(tables["debian"]) & set(tables["private"])


def test_a_new_dependency_without_an_origin_is_an_error(checkout: Path) -> None:
    file = checkout / "pyproject.toml"
    file.write_text(file.read_text().replace('"psutil>=5.9"', '"psutil>=5.9", "brand_new>=1"'))
    with pytest.raises(dependencies.UnknownOrigin, match=r"needs brand_new>=1: add its package"):
        dependencies.Dependencies(checkout).check_project()


def test_a_bundled_package_without_a_version_is_an_error(checkout: Path) -> None:
    (checkout / "tests/requirements.txt").write_text("aiohttp==3.14.5\n")
    with pytest.raises(dependencies.UnknownOrigin, match="has no version of annotated-types"):
        dependencies.Dependencies(checkout).pins()


def test_requirements_for_other_systems_are_ignored() -> None:
    dependencies.Dependencies(ROOT).check(
        ["win_inet_pton; platform_system == 'Windows'", "sphinx; extra == 'docs'"], "a package"
    )


def test_the_change_log_is_converted_to_debians_format() -> None:
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
    (plugin,) = Distribution.at(tmp_path).entry_points.select(group="can.interface")
    assert (plugin.name, plugin.load()) == ("ecuconnect", EcuconnectBus)


def test_links_of_the_guide_lead_somewhere_in_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "packaging/debian")  # scripts, which find each other beside them
    module("package").stage_files(tmp_path, "1.0", 0)
    pages = sorted((tmp_path / "usr/share/doc/cancorderd/guide").rglob("*.md"))
    assert len(pages) == len(list((ROOT / "contrib/guide").rglob("*.md")))
    for page in pages:
        for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_gets_completion_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "packaging/debian")
    package = module("package")
    package.stage_files(tmp_path, "1.0", 0)
    package.write_completions(tmp_path)
    programs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for program in programs:
        for place in package.COMPLETIONS.values():
            assert program in (tmp_path / place.format(program)).read_text()
    assert not list(tmp_path.rglob("__pycache__"))
