"""The packages for Fedora and Arch Linux, looked into and installed into an empty folder; no Fedora and no Arch runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import cancorderd

FOLDER = os.environ.get("CANCORDER_PACKAGES", "")
VERSION = cancorderd.__version__
RPM = Path(FOLDER, f"cancorderd-{VERSION}-1.fc43.x86_64.rpm")
ARCH = Path(FOLDER, f"cancorderd-{VERSION}-1-x86_64.pkg.tar.zst")
EXPECTED = (
    "/usr/bin/cancorderd",
    "/usr/bin/cancorderctl",
    "/usr/lib/systemd/system/cancorderd.service",
    "/usr/lib/sysusers.d/cancorderd.conf",
    "/usr/lib/tmpfiles.d/cancorderd.conf",
    "/usr/lib/udev/rules.d/60-cancorderd.rules",
    "/usr/share/man/man8/cancorderd.8.gz",
    "/usr/share/zsh/site-functions/_cancorderctl",
    "/usr/share/licenses/cancorderd/LICENSE",
    "/usr/share/doc/cancorderd/guide/README.md",
    "/usr/lib/cancorderd/cancorderd/daemon.py",
    "/etc/cancorder.toml",
)
pytestmark = [
    pytest.mark.skipif(not FOLDER, reason="needs the packages: tests/run packages"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to install into a folder"),
]


def output_of(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing")


def modules(root: Path) -> set[str]:
    """Return the tags of the compiled modules in an installed package."""
    names = (path.name for path in (root / "usr/lib/cancorderd").rglob("*.so"))
    return {match[1] for name in names if (match := re.search(r"\.(cpython-\d+|abi3)", name))}


def test_the_rpm_has_its_files_and_no_others_of_the_system() -> None:
    needs("rpm")
    files = output_of("rpm", "-qlp", RPM).splitlines()
    assert set(EXPECTED) <= set(files)
    own = ("/usr/", "/etc/cancorder.toml", "/etc/cancorder.d")
    assert not [path for path in files if not path.startswith(own)]
    assert not {"/usr", "/usr/bin", "/usr/lib", "/usr/lib/systemd"} & set(files)
    assert output_of("rpm", "-qcp", RPM).split() == ["/etc/cancorder.toml"]


def test_the_rpm_depends_on_the_python_of_fedora_43() -> None:
    needs("rpm")
    requires = output_of("rpm", "-qRp", RPM).splitlines()
    assert {"python(abi) = 3.14", "python3-systemd >= 235", "systemd"} <= set(requires)
    provides = output_of("rpm", "-qp", "--provides", RPM)
    assert "bundled(python3dist(pydantic-core)) = " in provides
    assert output_of("rpm", "-qp", "--recommends", RPM).split() == ["libusb1"]


def test_the_rpm_enables_and_stops_its_units() -> None:
    needs("rpm")
    scripts = output_of("rpm", "-qp", "--scripts", RPM)
    for words in (
        "install-system-units cancorderd.service",
        "remove-system-units",
        "mark-restart-system-units",
    ):
        assert words in scripts


def test_the_rpm_can_be_installed_verified_and_removed(tmp_path: Path) -> None:
    needs("rpm")
    rpm = ["rpm", "--root", str(tmp_path)]
    output_of(*rpm, "--initdb")
    output_of(*rpm, "--nodeps", "--noscripts", "--install", str(RPM))
    assert modules(tmp_path) <= {"cpython-314", "abi3"}
    assert "cpython-314" in modules(tmp_path)
    output_of(*rpm, "--verify", "--nodeps", "cancorderd")
    output_of(*rpm, "--nodeps", "--noscripts", "--erase", "cancorderd")
    assert not (tmp_path / "usr/lib/cancorderd").exists()


def test_pacman_reads_the_package_and_its_dependencies() -> None:
    needs("pacman")
    files = {line.partition(" ")[2] for line in output_of("pacman", "-Qlp", ARCH).splitlines()}
    assert set(EXPECTED) <= files
    text = output_of("pacman", "-Qip", ARCH)
    for words in ("python>=3.14", "python<3.15", "python-systemd", f"{VERSION}-1"):
        assert words in text


def test_pacman_installs_verifies_and_removes_the_package(tmp_path: Path) -> None:
    needs("pacman")
    (tmp_path / "var/lib/pacman").mkdir(parents=True)
    settings = tmp_path / "pacman.conf"
    settings.write_text("[options]\nArchitecture = x86_64\nSigLevel = Never\n")
    pacman = ["pacman", "--root", str(tmp_path), "--config", str(settings), "--noconfirm"]
    output_of(*pacman, "--noscriptlet", "-Udd", str(ARCH))
    assert "cpython-314" in modules(tmp_path)
    assert " 0 altered files" in output_of(*pacman, "-Qkk", "cancorderd")
    output_of(*pacman, "--noscriptlet", "-Rdd", "cancorderd")
    assert not (tmp_path / "usr/lib/cancorderd").exists()
