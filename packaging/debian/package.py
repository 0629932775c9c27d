"""Puts the Debian package together: `build` starts this.

A folder is filled as the package will lie on the machine, and dpkg-deb makes a package of it. The same
checkout gives the same bytes: times come from the last commit, owners are root, files are sorted.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import texts
from dependencies import Dependencies, MissingSource

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = "usr/lib/cancorderd"
PYTHON_VERSION = "3.11"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
MANYLINUX = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""Debian 12 has glibc 2.36."""
FILES = {
    "etc/cancorder.toml": "etc/cancorder.toml",
    "packaging/systemd/cancorderd.service": "lib/systemd/system/cancorderd.service",
    "packaging/systemd/cancorderd.sysusers": "usr/lib/sysusers.d/cancorderd.conf",
    "packaging/systemd/cancorderd.tmpfiles": "usr/lib/tmpfiles.d/cancorderd.conf",
    "packaging/udev/60-cancorderd.rules": "lib/udev/rules.d/60-cancorderd.rules",
}
EXAMPLES = ("packaging/systemd/*.example", "packaging/systemd/drop-ins/*.conf")
"""For the administrator to copy; what they are for stands in them."""
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/{}",
    "zsh": "usr/share/zsh/vendor-completions/_{}",
    "fish": "usr/share/fish/vendor_completions.d/{}.fish",
}
"""Where each shell looks for what completes a command."""
SCRIPTS = ("postinst", "prerm", "postrm")
MAINTAINER = "cancorderd developers <cancorderd@example.org>"

LAUNCHER = """\
#!/usr/bin/python3 -I
# -I and the two switches: neither the user's environment nor the current folder brings modules in.
import os
import sys

sys.path.insert(0, "/{private}")
# Workers are Python processes of their own and look there, too.
os.environ.update(PYTHONPATH="/{private}", PYTHONSAFEPATH="1", PYTHONNOUSERSITE="1")

from {module} import {function}

sys.exit({function}())
"""


def main() -> int:
    options = arguments()
    arch = options.arch or said_by("dpkg", "--print-architecture")
    if arch not in MACHINES:
        print(f"build: no package for {arch}; there is {' and '.join(MACHINES)}", file=sys.stderr)
        return 2
    version = options.version or own_version()
    epoch = source_date()
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder, "stage")
        try:
            bring_along(stage / PRIVATE, arch)
            fill(stage, version, epoch)
            describe(stage, version, arch)
        except MissingSource as error:
            print(f"build: {error}", file=sys.stderr)
            return 1
        settle(stage, epoch)
        options.output.mkdir(parents=True, exist_ok=True)
        package = options.output / f"cancorderd_{version}_{arch}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", stage, package],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        )  # fmt: skip
    print(package)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="build", description="Makes cancorderd_VERSION_ARCH.deb.")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, default=ROOT / "dist")
    parser.add_argument("--arch", choices=MACHINES, help="default: this machine's")
    parser.add_argument("--version", help="another version than the checkout's, to try upgrades")
    return parser.parse_args()


def own_version() -> str:
    match = re.search(r'^__version__ = "(.+)"$', (ROOT / "cancorderd/__init__.py").read_text(), re.MULTILINE)
    if match is None:
        raise ValueError("cancorderd/__init__.py has no __version__")
    return match[1]


def source_date() -> int:
    """Seconds since the epoch of SOURCE_DATE_EPOCH, else of the last commit, else of the change log."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    try:
        return int(said_by("git", "-C", str(ROOT), "log", "-1", "--format=%ct"))
    except (OSError, subprocess.CalledProcessError):
        return int((ROOT / "CHANGELOG.md").stat().st_mtime)


def said_by(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def bring_along(private: Path, arch: str) -> None:
    """Install what Debian lacks into `private`. Raises MissingSource."""
    dependencies = Dependencies(ROOT)
    dependencies.check_project()
    platforms = [word for name in MANYLINUX for word in ("--platform", f"{name}_{MACHINES[arch]}")]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
            *("--root-user-action", "ignore", "--target", private, "--no-deps", "--no-compile"),
            *("--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON_VERSION),
            *platforms,
            *dependencies.pins(),
        ],
        check=True,
    )
    dependencies.check_installed(private)
    shutil.rmtree(private / "bin", ignore_errors=True)
    for name in ("RECORD", "INSTALLER", "REQUESTED", "WHEEL"):
        for path in private.glob(f"*.dist-info/{name}"):
            path.unlink()
    strip = shutil.which("strip")
    if strip and arch == said_by("dpkg", "--print-architecture"):
        subprocess.run([strip, "--strip-unneeded", *private.rglob("*.so")], check=True)


def fill(stage: Path, version: str, epoch: int) -> None:
    """Everything of our own."""
    own = stage / PRIVATE / "cancorderd"
    shutil.copytree(ROOT / "cancorderd", own, ignore=shutil.ignore_patterns("__pycache__", "py.typed"))
    package = own / "__init__.py"
    package.write_text(package.read_text().replace(f'"{own_version()}"', f'"{version}"'))
    for source, target in FILES.items():
        put(stage / target, (ROOT / source).read_bytes())
    for path in sorted(ROOT.glob("cancorderd/cli/completions/*")):
        put(stage / COMPLETIONS[path.suffix[1:]].format(path.stem), path.read_bytes())
    (stage / "etc/cancorder.d").mkdir()
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    for name, place in project["scripts"].items():
        module, _, function = place.partition(":")
        text = LAUNCHER.format(private=PRIVATE, module=module, function=function)
        put(stage / "usr/bin" / name, text.encode(), executable=True)
    for page in sorted(ROOT.glob("packaging/man/*.[158]")):
        put(stage / f"usr/share/man/man{page.suffix[1:]}/{page.name}.gz", packed(page.read_bytes()))
    documents = stage / "usr/share/doc/cancorderd"
    for path in (path for pattern in EXAMPLES for path in ROOT.glob(pattern)):
        put(documents / "examples" / path.name, path.read_bytes())
    changes = texts.changelog((ROOT / "CHANGELOG.md").read_text(), version, maintainer(), epoch)
    put(documents / "changelog.gz", packed(changes.encode()))
    rights = texts.copyright_file((ROOT / "LICENSE").read_text(), stage / PRIVATE)
    put(documents / "copyright", rights.encode())
    introduce(stage / PRIVATE, version, project["entry-points"])  # after the rights of others


def introduce(private: Path, version: str, entry_points: dict[str, dict[str, str]]) -> None:
    """Let Python packages find what we add to them: python-can its interface "ecuconnect"."""
    place = private / f"cancorderd-{version}.dist-info"
    put(place / "METADATA", f"Metadata-Version: 2.1\nName: cancorderd\nVersion: {version}\n".encode())
    put(place / "entry_points.txt", texts.entry_points(entry_points).encode())


def maintainer() -> str:
    """Whoever builds, as Debian's tools are told it, else the developers."""
    if address := os.environ.get("DEBEMAIL"):
        return f"{os.environ.get('DEBFULLNAME', 'cancorderd developers')} <{address}>"
    return MAINTAINER


def packed(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)


def put(path: Path, data: bytes, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if executable:
        path.chmod(0o755)


def describe(stage: Path, version: str, arch: str) -> None:
    """What dpkg reads."""
    files = [path for path in sorted(stage.rglob("*")) if path.is_file() and not path.is_symlink()]
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(stage)}\n"
        for path in files
    ]
    size_kib = sum((path.stat().st_size + 1023) // 1024 for path in files)
    debian = Dependencies(ROOT).debian.values()
    text = texts.control(version, arch, maintainer(), size_kib, debian)
    put(stage / "DEBIAN/control", text.encode())
    put(stage / "DEBIAN/md5sums", "".join(sums).encode())
    put(stage / "DEBIAN/conffiles", b"/etc/cancorder.toml\n")
    for name in SCRIPTS:
        put(stage / "DEBIAN" / name, (ROOT / "packaging/debian" / name).read_bytes(), executable=True)


def settle(stage: Path, epoch: int) -> None:
    """Modes and times that do not depend on who builds, and when."""
    executable = (stage / "usr/bin", stage / "DEBIAN")
    for path in [stage, *stage.rglob("*")]:
        if not path.is_symlink():
            runs = path.is_dir() or (path.parent in executable and os.access(path, os.X_OK))
            path.chmod(0o755 if runs else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main())
