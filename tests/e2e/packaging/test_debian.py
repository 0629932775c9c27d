"""Parts of the Debian package and their origins. Its installation is tested in the lab: `guest/test_package`."""

import importlib.util
import re
import shutil
import tomllib
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType
from typing import Any

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
RELEASES = dependencies.codenames(ROOT)
each_release = pytest.mark.parametrize("codename", RELEASES)


def release(codename: str, root: Path = ROOT) -> Any:
    return dependencies.Release(root, codename)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy the files that decide the origin of packages, so that a test can change them."""
    for name in ("pyproject.toml", "tests/requirements.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / dependencies.FOLDER, tmp_path / dependencies.FOLDER)
    return tmp_path


def test_the_releases_are_listed_oldest_first() -> None:
    assert RELEASES == ["bookworm", "trixie"]


@each_release
def test_every_requirement_of_the_project_has_an_origin(codename: str) -> None:
    release(codename).check_project()


@each_release
def test_every_bundled_package_has_a_fixed_version(codename: str) -> None:
    pins = release(codename).pins()
    assert all("==" in pin for pin in pins)


@each_release
def test_no_package_is_in_both_tables(codename: str) -> None:
    assert not set(release(codename).debian) & set(release(codename).private)


@each_release
def test_the_package_is_for_one_version_of_python(codename: str) -> None:
    fields = dict(
        line.split(": ", 1)
        for line in texts.control(release(codename), "1.0", "arm64", "A <a@b.org>", 1).splitlines()
        if not line.startswith(" ")
    )
    python = {"bookworm": "(>= 3.11), python3 (<< 3.12)", "trixie": "(>= 3.13), python3 (<< 3.14)"}[codename]
    assert f"python3 {python}" in fields["Depends"]
    assert fields["Version"] == {"bookworm": "1.0+deb12", "trixie": "1.0+deb13"}[codename]
    assert fields["Architecture"] == "arm64"


@each_release
def test_a_new_dependency_without_an_origin_is_an_error(checkout: Path, codename: str) -> None:
    file = checkout / "pyproject.toml"
    file.write_text(file.read_text().replace('"psutil>=5.9"', '"psutil>=5.9", "brand_new>=1"'))
    with pytest.raises(dependencies.UnknownOrigin, match=r"needs brand_new>=1: add its package"):
        release(codename, checkout).check_project()


def test_a_requirement_that_debians_version_does_not_meet_is_an_error() -> None:
    with pytest.raises(dependencies.UnknownOrigin, match=r"python3-aiohttp \(>= 3.8\): raise that version"):
        release("bookworm").check(["aiohttp>=3.9.1"], "a package")
    release("trixie").check(["aiohttp>=3.9.1"], "a package")


def test_a_requirement_of_older_pythons_counts_where_python_is_older() -> None:
    requirement = ["backports.brand-new>=1; python_version < '3.13'"]
    release("trixie").check(requirement, "a package")
    with pytest.raises(dependencies.UnknownOrigin):
        release("bookworm").check(requirement, "a package")


def test_a_bundled_package_without_a_version_is_an_error(checkout: Path) -> None:
    (checkout / "tests/requirements.txt").write_text("aiohttp==3.14.5\n")
    with pytest.raises(dependencies.UnknownOrigin, match="has no version of annotated-types"):
        release("bookworm", checkout).pins()


def test_requirements_for_other_systems_are_ignored() -> None:
    release("bookworm").check(
        ["win_inet_pton; platform_system == 'Windows'", "sphinx; extra == 'docs'"], "a package"
    )


def test_wheels_for_newer_libraries_than_the_releases_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "packaging/debian")
    platforms = module("package").wheel_platforms(release("bookworm").glibc)
    assert platforms[0] == "manylinux_2_36"
    assert platforms[-2:] == ["manylinux_2_17", "manylinux2014"]


def test_the_change_log_is_converted_to_debians_format() -> None:
    text = texts.changelog(
        "# Changes\n\n## 2.0 (unreleased)\n\n- One\n  thing.\n- Two.\n",
        release("trixie"),
        "2.1",
        "A <a@b.org>",
        0,
    )
    assert text == (
        "cancorderd (2.1+deb13) trixie; urgency=medium\n\n  * One thing.\n  * Two.\n\n"
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
    module("package").stage_files(tmp_path, release("bookworm"), "1.0", 0)
    pages = sorted((tmp_path / "usr/share/doc/cancorderd/guide").rglob("*.md"))
    assert len(pages) == len(list((ROOT / "contrib/guide").rglob("*.md")))
    for page in pages:
        for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_gets_completion_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "packaging/debian")
    package = module("package")
    package.stage_files(tmp_path, release("trixie"), "1.0", 0)
    package.write_completions(tmp_path)
    programs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for program in programs:
        for place in package.COMPLETIONS.values():
            assert program in (tmp_path / place.format(program)).read_text()
    assert not list(tmp_path.rglob("__pycache__"))
