"""The Homebrew formula: its lock, and the text that is written for a release. Homebrew itself is not called."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "packaging/homebrew"


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("formula", FOLDER / "formula.py")
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


formula = module()
TEMPLATE = (FOLDER / "cancorderd.rb.in").read_text()
LOCK = formula.locked((FOLDER / "lock.toml").read_text())
MACOS = {
    "sys_platform": "darwin",
    "platform_system": "Darwin",
    "os_name": "posix",
    "platform_machine": "arm64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "python_version": formula.PYTHON,
    "python_full_version": f"{formula.PYTHON}.0",
}


def needed_on_macos() -> set[str]:
    """Return the names of all packages that cancorderd needs there, by the metadata of those installed here."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = (text for extra in formula.EXTRAS for text in project["optional-dependencies"][extra])
    waiting = [(Requirement(text), "") for text in (*project["dependencies"], *extras)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, wanted_by = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({**MACOS, "extra": wanted_by}):
            continue
        for extra in ("", *requirement.extras):
            key = canonicalize_name(requirement.name), extra
            if key not in seen:
                seen.add(key)
                inner = distribution(requirement.name).requires or ()
                waiting += [(Requirement(text), extra) for text in inner]
    return {name for name, _ in seen}


def written() -> str:
    packages = [item._replace(url=f"https://example.org/{item.name}.tar.gz") for item in LOCK]
    text: str = formula.formula(
        TEMPLATE, packages, "https://example.org/cancorderd.tar.gz", "f" * 64, "https://example.org"
    )
    return text


def test_the_lock_has_each_package_that_macos_needs_and_no_other() -> None:
    assert {item.name for item in LOCK} == needed_on_macos()


def test_versions_are_those_of_the_tests() -> None:
    pins = dict(line.split("==") for line in (ROOT / "tests/requirements.txt").read_text().split())
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    assert {item.name: item.version for item in LOCK} == {item.name: versions[item.name] for item in LOCK}


def test_resources_of_the_formula_are_those_of_the_lock() -> None:
    found = re.findall(r'  resource "(.+)" do\n    url "(.+)"\n    sha256 "([0-9a-f]{64})"\n  end', written())
    assert [(name, sha256) for name, _, sha256 in found] == [(item.name, item.sha256) for item in LOCK]


def test_the_formula_has_no_placeholder_left_and_the_template_no_address() -> None:
    assert not re.search(r"@[A-Z]+@|%[A-Z]+%", written())
    assert "://" not in TEMPLATE
    assert all(item.url == "" for item in LOCK)


def test_ruby_understands_the_formula(tmp_path: Path) -> None:
    if shutil.which("ruby") is None:
        pytest.skip("ruby is missing")
    file = tmp_path / "cancorderd.rb"
    file.write_text(written())
    done = subprocess.run(["ruby", "-wc", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_lines_of_the_formula_are_short_enough_for_brew_style() -> None:
    assert max(map(len, TEMPLATE.splitlines())) <= 118
    (description,) = re.findall(r'desc "(.+)"', TEMPLATE)
    assert len(description) <= 80


def test_settings_that_the_formula_replaces_are_in_the_example() -> None:
    example = (ROOT / "etc/cancorder.toml").read_text()
    for pattern in re.findall(r"gsub!\(/(.+?)/,", TEMPLATE):
        assert len(re.findall(pattern, example, re.MULTILINE)) == 1


def test_the_lock_is_written_as_it_is_read() -> None:
    assert formula.locked(formula.lock_text(LOCK)) == LOCK


@pytest.mark.parametrize("change", ["checksum", "missing", "more"])
def test_packages_that_differ_from_the_lock_are_refused(change: str) -> None:
    first, *rest = LOCK
    packages = {
        "checksum": [first._replace(sha256="0" * 64), *rest],
        "missing": rest,
        "more": [*LOCK, first._replace(name=f"{first.name}-more")],
    }[change]
    formula.compare(LOCK, LOCK)
    with pytest.raises(formula.Mismatch, match=first.name):
        formula.compare(LOCK, packages)


def test_a_package_without_a_source_archive_is_refused() -> None:
    sdist = {"url": "https://example.org/a.tar.gz", "hashes": {"sha256": "a" * 64}}
    good = {"name": "a", "version": "1", "sdist": sdist}
    assert formula.resources({"packages": [good]}) == [formula.Resource("a", "1", "a" * 64, sdist["url"])]
    with pytest.raises(formula.Mismatch, match="b 2 has no source archive"):
        formula.resources({"packages": [good, {"name": "b", "version": "2"}]})
