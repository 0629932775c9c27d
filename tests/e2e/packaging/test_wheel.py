"""The wheel in an environment of its own: the whole product is there, and the commands find it."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from cancorderd import __version__
from cancorderd.installation.product_files import FILES

ROOT = Path(__file__).parents[3]
pytest.importorskip("hatchling", reason="tests/requirements.txt has hatchling, which builds the wheel")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, and take the packages that it needs from the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin/python"),
         "install", "--quiet", "--no-index", "--no-deps", "--no-compile", str(wheel)],
        check=True,
    )  # fmt: skip
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "of_the_tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder


def run(environment: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program, *arguments = words
    others = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [environment / "bin" / program, *arguments],
        cwd="/",
        env=others,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_run_from_the_wheel(environment: Path) -> None:
    for program in ("cancorderd", "cancorderctl", "cancorder-canlogger", "cancorder-mock-uds-canlogger"):
        done = run(environment, program, "--help")
        assert done.returncode == 0, done.stderr
    assert run(environment, "cancorderd", "--version").stdout == f"cancorderd {__version__}\n"
    place = run(environment, "python", "-c", "import cancorderd; print(cancorderd.__file__)").stdout
    assert place.startswith(str(environment))


def test_every_file_of_the_product_is_found_as_in_the_checkout(environment: Path) -> None:
    found = json.loads(run(environment, "cancorderctl", "files", "--json").stdout)
    assert list(found) == [file.name for file in FILES]
    for file in FILES:
        assert found[file.name].startswith(str(environment))
        original, copy = ROOT / file.source, Path(found[file.name])
        if original.is_file():
            assert copy.read_bytes() == original.read_bytes()
        for path in copy.rglob("*"):
            assert (original / path.relative_to(copy)).exists()
    assert {path.name for path in Path(found["man"]).iterdir()} == {
        page.name for page in (ROOT / "packaging/man").glob("*.[158]")
    }
    assert len(list(Path(found["guide"]).rglob("*.md"))) == len(list((ROOT / "contrib/guide").rglob("*.md")))


def test_links_of_the_guide_lead_somewhere(environment: Path) -> None:
    guide = Path(run(environment, "cancorderctl", "files", "guide").stdout.strip())
    pages = list(guide.rglob("*.md"))
    assert pages
    for page in pages:
        for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_man_finds_the_pages_of_an_environment_in_the_path(environment: Path) -> None:
    for page in (ROOT / "packaging/man").glob("*.[158]"):
        assert (environment / f"share/man/man{page.suffix[1:]}/{page.name}").read_text() == page.read_text()


def test_scripts_remain_executable(environment: Path) -> None:
    for name, script in (("launchd", "install"), ("hub", "set-up")):
        folder = run(environment, "cancorderctl", "files", name).stdout.strip()
        assert os.access(Path(folder, script), os.X_OK)


def test_the_printed_example_is_a_configuration(environment: Path, tmp_path: Path) -> None:
    example = run(environment, "cancorderd", "--example").stdout
    assert example == (ROOT / "etc/cancorder.toml").read_text()
    (tmp_path / "x.toml").write_text(example)
    done = run(environment, "cancorderd", "--check", "-c", str(tmp_path / "x.toml"))
    assert done.returncode == 0, done.stderr


def test_the_message_about_a_missing_file_names_the_command_that_creates_it(
    environment: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "can gateway.toml"
    message = run(environment, "cancorderd", "-c", str(missing)).stderr
    command = re.search(r"cancorderd --example .*", message)
    assert command, message
    subprocess.run(
        command[0], shell=True, check=True, env={"PATH": f"{environment}/bin:{os.environ['PATH']}"}
    )
    assert missing.read_text() == (ROOT / "etc/cancorder.toml").read_text()


def test_the_wheel_has_its_bill_of_materials(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = f"cancorderd-{__version__}.dist-info"
        bill = json.loads(archive.read(f"{metadata}/sboms/cancorderd.cdx.json"))
        recorded = {row[0] for row in csv.reader(archive.read(f"{metadata}/RECORD").decode().splitlines())}
        script = archive.read("cancorderd/web/static/vendor/uPlot.iife.min.js").decode()
    assert f"{metadata}/sboms/cancorderd.cdx.json" in recorded
    assert bill["metadata"]["component"]["purl"] == f"pkg:pypi/cancorderd@{__version__}"
    (plot,) = bill["components"]
    assert f"uPlot (v{plot['version']})" in script


def test_the_service_is_refused_in_a_folder_that_it_could_not_see(environment: Path, tmp_path: Path) -> None:
    done = run(environment, "cancorderctl", "service", "install", "--root", str(tmp_path))
    assert done.returncode == 1
    assert not list(tmp_path.iterdir())
    assert "which the service could not see" in done.stderr
    lines = [line.strip() for line in done.stderr.splitlines() if line.startswith("  ")]
    assert lines[-1].endswith("/opt/cancorderd/bin/cancorderctl service install")


def test_an_editable_installation_uses_the_files_of_the_checkout() -> None:
    program = shutil.which("cancorderctl", path=os.path.dirname(sys.executable))
    if program is None:
        pytest.skip("the tests run without an installation")
    done = subprocess.run([program, "files", "guide"], cwd="/", capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).samefile(ROOT / "contrib/guide")
