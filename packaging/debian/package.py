"""Build the Debian package; started by `build`.

A staging folder receives all files at their places on the target machine, and dpkg-deb packs it. The same checkout
gives the same bytes: times come from the last commit, owners are root, files are sorted.
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
from dependencies import Dependencies, UnknownOrigin

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = "usr/lib/cancorderd"
PYTHON_VERSION = "3.11"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
MANYLINUX = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""Debian 12 has glibc 2.36."""
FILES = {
    "etc/cancorder.toml": "etc/cancorder.toml",
    "packaging/systemd/cancorderd.service": "lib/systemd/system/cancorderd.service",
    "packaging/systemd/cancorderd-web.service": "lib/systemd/system/cancorderd-web.service",
    "packaging/systemd/cancorderd.sysusers": "usr/lib/sysusers.d/cancorderd.conf",
    "packaging/systemd/cancorderd.tmpfiles": "usr/lib/tmpfiles.d/cancorderd.conf",
    "packaging/udev/60-cancorderd.rules": "lib/udev/rules.d/60-cancorderd.rules",
}
SOURCE_ONLY = ("nkeys",)
"""Bundled packages in pure Python of which the package index has no wheel."""
EXAMPLES = ("packaging/systemd/*.example", "packaging/systemd/drop-ins/*.conf")
"""Files for the administrator to copy; each begins with its purpose."""
GUIDE = (
    "guide/**/*.md",
    "guide/how-fast/*",
    "guide/web/*",
    "mock.dbc",
    "examples/*",
    "hub/*",
    "wireshark/*",
    "openapi/*.json",
    "grafana/*",
    "prometheus/*",
)
"""The guide, and the files to which it links; in contrib, and at the same places in the package."""
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/{}",
    "zsh": "usr/share/zsh/vendor-completions/_{}",
    "fish": "usr/share/fish/vendor_completions.d/{}.fish",
}
"""Location of each shell's completion files."""
SCRIPTS = ("postinst", "prerm", "postrm")
MAINTAINER = "cancorderd developers <cancorderd@example.org>"

LAUNCHER = """\
#!/usr/bin/python3 -I
# -I and the two variables: no modules come from the user's environment or the current folder.
import os
import sys

sys.path.insert(0, "/{private}")
# Workers are Python processes of their own, which need the same path.
os.environ.update(PYTHONPATH="/{private}", PYTHONSAFEPATH="1", PYTHONNOUSERSITE="1")

from {module} import {function}

sys.exit({function}())
"""


def main() -> int:
    options = arguments()
    arch = options.arch or output_of("dpkg", "--print-architecture")
    if arch not in MACHINES:
        print(f"build: no package for {arch}. Use {' or '.join(MACHINES)}", file=sys.stderr)
        return 2
    version = options.version or project_version()
    epoch = source_date()
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder, "stage")
        try:
            install_bundled(stage / PRIVATE, arch)
            stage_files(stage, version, epoch)
            write_completions(stage)
            write_control_files(stage, version, arch)
        except UnknownOrigin as error:
            print(f"build: {error}", file=sys.stderr)
            return 1
        normalize(stage, epoch)
        options.output.mkdir(parents=True, exist_ok=True)
        package = options.output / f"cancorderd_{version}_{arch}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", stage, package],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        )  # fmt: skip
    print(package)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="build", description="Build cancorderd_VERSION_ARCH.deb.")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, default=ROOT / "dist")
    parser.add_argument("--arch", choices=MACHINES, help="default: this machine's")
    parser.add_argument("--version", help="version instead of the checkout's, to test upgrades")
    return parser.parse_args()


def project_version() -> str:
    match = re.search(r'^__version__ = "(.+)"$', (ROOT / "cancorderd/__init__.py").read_text(), re.MULTILINE)
    if match is None:
        raise ValueError("cancorderd/__init__.py has no __version__")
    return match[1]


def source_date() -> int:
    """Return SOURCE_DATE_EPOCH, or the time of the last commit, or of the change log."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    try:
        return int(output_of("git", "-C", str(ROOT), "log", "-1", "--format=%ct"))
    except (OSError, subprocess.CalledProcessError):
        return int((ROOT / "CHANGELOG.md").stat().st_mtime)


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def install_bundled(private: Path, arch: str) -> None:
    """Install the packages that Debian lacks into `private`. Raises UnknownOrigin."""
    dependencies = Dependencies(ROOT)
    dependencies.check_project()
    platforms = [word for name in MANYLINUX for word in ("--platform", f"{name}_{MACHINES[arch]}")]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
            *("--root-user-action", "ignore", "--target", private, "--no-deps", "--no-compile"),
            *("--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON_VERSION),
            *("--no-binary", ",".join(SOURCE_ONLY)),
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
    if strip and arch == output_of("dpkg", "--print-architecture"):
        subprocess.run([strip, "--strip-unneeded", *private.rglob("*.so")], check=True)


def stage_files(stage: Path, version: str, epoch: int) -> None:
    """Add all files of the project to `stage`."""
    own = stage / PRIVATE / "cancorderd"
    shutil.copytree(
        ROOT / "cancorderd", own, ignore=shutil.ignore_patterns("__pycache__", "py.typed", "*.md")
    )
    package = own / "__init__.py"
    package.write_text(package.read_text().replace(f'"{project_version()}"', f'"{version}"'))
    for source, target in FILES.items():
        write(stage / target, (ROOT / source).read_bytes())
    (stage / "etc/cancorder.d").mkdir()
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    for name, entry_point in project["scripts"].items():
        module, _, function = entry_point.partition(":")
        text = LAUNCHER.format(private=PRIVATE, module=module, function=function)
        write(stage / "usr/bin" / name, text.encode(), executable=True)
    for page in sorted(ROOT.glob("packaging/man/*.[158]")):
        write(stage / f"usr/share/man/man{page.suffix[1:]}/{page.name}.gz", compressed(page.read_bytes()))
    documents = stage / "usr/share/doc/cancorderd"
    for path in (path for pattern in EXAMPLES for path in ROOT.glob(pattern)):
        write(documents / "examples" / path.name, path.read_bytes())
    for path in sorted(path for pattern in GUIDE for path in (ROOT / "contrib").glob(pattern)):
        write(documents / path.relative_to(ROOT / "contrib"), path.read_bytes())
    changes = texts.changelog((ROOT / "CHANGELOG.md").read_text(), version, maintainer(), epoch)
    write(documents / "changelog.gz", compressed(changes.encode()))
    rights = texts.copyright_file((ROOT / "LICENSE").read_text(), stage / PRIVATE)
    write(documents / "copyright", rights.encode())
    # Last, because the license file lists all metadata in this folder.
    write_metadata(stage / PRIVATE, version, project["entry-points"])


def write_completions(stage: Path) -> None:
    """Write the completion scripts of every command, as the packaged `cancorderctl completion` prints them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        programs = tomllib.load(file)["project"]["scripts"]
    environment = {**os.environ, "PYTHONPATH": str(stage / PRIVATE), "PYTHONDONTWRITEBYTECODE": "1"}
    for program in programs:
        for shell, place in COMPLETIONS.items():
            script = subprocess.run(
                [sys.executable, "-P", "-m", "cancorderd.cli.cancorderctl", "completion", shell, program],
                check=True, capture_output=True, cwd=stage, env=environment,
            )  # fmt: skip
            write(stage / place.format(program), script.stdout)


def write_metadata(private: Path, version: str, entry_points: dict[str, dict[str, str]]) -> None:
    """Write metadata with entry points: python-can finds its interface "ecuconnect" there."""
    dist_info = private / f"cancorderd-{version}.dist-info"
    write(dist_info / "METADATA", f"Metadata-Version: 2.1\nName: cancorderd\nVersion: {version}\n".encode())
    write(dist_info / "entry_points.txt", texts.entry_points(entry_points).encode())


def maintainer() -> str:
    """Return the builder named in the variables of Debian's tools, or else the developers."""
    if address := os.environ.get("DEBEMAIL"):
        return f"{os.environ.get('DEBFULLNAME', 'cancorderd developers')} <{address}>"
    return MAINTAINER


def compressed(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)


def write(path: Path, data: bytes, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if executable:
        path.chmod(0o755)


def write_control_files(stage: Path, version: str, arch: str) -> None:
    """Write the control files and maintainer scripts."""
    files = [path for path in sorted(stage.rglob("*")) if path.is_file() and not path.is_symlink()]
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(stage)}\n"
        for path in files
    ]
    size_kib = sum((path.stat().st_size + 1023) // 1024 for path in files)
    debian = Dependencies(ROOT).debian.values()
    text = texts.control(version, arch, maintainer(), size_kib, debian)
    write(stage / "DEBIAN/control", text.encode())
    write(stage / "DEBIAN/md5sums", "".join(sums).encode())
    write(stage / "DEBIAN/conffiles", b"/etc/cancorder.toml\n")
    for name in SCRIPTS:
        write(stage / "DEBIAN" / name, (ROOT / "packaging/debian" / name).read_bytes(), executable=True)


def normalize(stage: Path, epoch: int) -> None:
    """Set modes and times that depend on neither the builder nor the time of the build."""
    executable = (stage / "usr/bin", stage / "DEBIAN")
    for path in [stage, *stage.rglob("*")]:
        if not path.is_symlink():
            runs = path.is_dir() or (path.parent in executable and os.access(path, os.X_OK))
            path.chmod(0o755 if runs else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main())
