"""Wheel and source distribution: complete, the same bytes wherever and by whomever they are built, fit for an index."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EPOCH = "1700000000"
pytest.importorskip(
    "hatchling", reason="tests/requirements.txt has hatchling, which builds the distributions"
)


def tracked_files() -> list[str]:
    """Return the files of the checkout; a source distribution has no repository, and all files are its own."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def copy_checkout(folder: Path, names: list[str], moment_s: int) -> None:
    """Copy files in the given order: their order in folders, and their times, depend on it."""
    for number, name in enumerate(names):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target, follow_symlinks=False)
        if os.access(ROOT / name, os.X_OK):
            target.chmod(target.stat().st_mode | (target.stat().st_mode & 0o444) >> 2)
        os.utime(target, (moment_s + number, moment_s + number))


def build(checkout: Path, output: Path) -> dict[str, bytes]:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(output)]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Build in two folders that differ in name, order of files, times and umask."""
    names = sorted(tracked_files())
    results = []
    for order, umask, moment_s in ((names, 0o022, 1_000_000_000), (names[::-1], 0o077, 1_600_000_000)):
        folder = tmp_path_factory.mktemp(f"umask-{umask:03o}")
        before = os.umask(umask)
        try:
            copy_checkout(folder / f"checkout-{umask:03o}", order, moment_s)
            results.append(build(folder / f"checkout-{umask:03o}", folder / "output"))
        finally:
            os.umask(before)
    return results[0], results[1]


def test_wheel_and_source_distribution_are_the_same_bytes_each_time(
    built: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    first, second = built
    assert [name.rpartition(".")[2] for name in first] == ["whl", "gz"]
    assert list(first) == list(second)
    different = [name for name in first if first[name] != second[name]]
    assert not different


def test_the_source_distribution_has_the_whole_checkout_and_gives_the_same_wheel(
    built: tuple[dict[str, bytes], dict[str, bytes]], tmp_path: Path
) -> None:
    first, _ = built
    wheel, source = first
    (tmp_path / source).write_bytes(first[source])
    (tmp_path / "unpacked").mkdir()
    # Not by tarfile: Debian 12's Python has no filters for it, later ones warn without.
    subprocess.run(["tar", "-xzf", tmp_path / source, "-C", tmp_path / "unpacked"], check=True)
    with tarfile.open(tmp_path / source) as archive:
        members = {member.name.partition("/")[2] for member in archive.getmembers()}
    assert not set(tracked_files()) - members - {"uv.lock"}
    assert members - set(tracked_files()) == {"PKG-INFO"}
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert os.access(unpacked / "packaging/debian/build", os.X_OK)
    assert build(unpacked, tmp_path / "again")[wheel] == first[wheel]


def test_twine_accepts_both(built: tuple[dict[str, bytes], dict[str, bytes]], tmp_path: Path) -> None:
    tools = os.environ.get("CANCORDER_RELEASE_TOOLS", str(Path(sys.prefix, "release")))
    if not Path(tools, "twine").is_dir():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("tests/run installs twine")
    for name, content in built[0].items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "twine", "check", "--strict", *map(str, tmp_path.iterdir())],
        env={**os.environ, "PYTHONPATH": tools}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2
