"""Build the RPM and the package for Arch Linux; started by `build`.

Both hold the files of the Debian package, with all Python packages bundled but systemd's, for one Python. The same
checkout gives the same bytes: times come from the last commit, owners are root, files are sorted.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution
from pathlib import Path
from typing import NamedTuple

import package
from dependencies import Release, UnknownOrigin, normalized

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Names of an architecture: Fedora's and Arch's, and Debian's."""
KINDS = ("rpm", "arch")
_DESCRIPTION = "CAN gateway daemon: every frame of many CAN buses, to every analyzer"
_ARCH_DEPENDS = ("python-systemd", "systemd", "glibc", "gcc-libs")
_MARKS = {"etc/cancorder.toml": "%config(noreplace) "}
_RPM = {
    "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    "_buildhost": "localhost",
    "_binary_payload": "w9.zstdio",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "debug_package": "%{nil}",
    "__os_install_post": "%{nil}",
    "_build_id_links": "none",
}
"""Settings of rpmbuild: the files stay as they are, and nothing depends on the machine or the time."""
_MTREE = "!all,use-set,type,uid,gid,mode,time,size,md5,sha256,link"
"""Facts about each file, as makepkg writes them."""


class Build(NamedTuple):
    """What a package is built from, and for."""

    stage: Path
    """Its files, at their places below this folder."""
    work: Path
    """A folder for whatever the build needs."""
    release: Release
    version: str
    arch: str
    """As Fedora and Arch name it."""
    epoch: int
    """Time of all files, in seconds since 1970."""


def main() -> int:
    options = arguments()
    release = fedora()
    version = package.project_version()
    epoch = package.source_date()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder, "stage")
        try:
            write_stage(stage, release, options.arch, version, epoch)
        except UnknownOrigin as error:
            print(f"build: {error}", file=sys.stderr)
            return 1
        for kind in options.kinds or KINDS:
            build = Build(stage, Path(folder), release, version, options.arch, epoch)
            print(build_rpm(build, options.output) if kind == "rpm" else build_arch(build, options.output))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="build", description="Build the packages for Fedora and Arch Linux."
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, default=ROOT / "dist")
    parser.add_argument("--arch", choices=MACHINES, default="x86_64")
    parser.add_argument("kinds", nargs="*", metavar="rpm|arch", help="default: both")
    options = parser.parse_args()
    if set(options.kinds) - set(KINDS):
        parser.error(f"kinds of packages are {' and '.join(KINDS)}")
    return options


def fedora() -> Release:
    return Release(ROOT, "fedora", "packaging/fedora_arch/releases")


def write_stage(stage: Path, release: Release, arch: str, version: str, epoch: int) -> None:
    """Write all files at their places. Raises UnknownOrigin."""
    package.install_bundled(stage / package.PRIVATE, release, MACHINES[arch])
    package.stage_files(stage, release, version, epoch)
    package.write_completions(stage)
    leave_debian(stage)
    package.normalize(stage, epoch)


def leave_debian(stage: Path) -> None:
    """Replace what has another place or form than in Debian: zsh's completions, changes, licenses."""
    shutil.move(stage / "usr/share/zsh/vendor-completions", stage / "usr/share/zsh/site-functions")
    documents = stage / "usr/share/doc/cancorderd"
    (documents / "changelog.gz").unlink()
    shutil.copyfile(ROOT / "CHANGELOG.md", documents / "CHANGELOG.md")
    licenses = (documents / "copyright").read_text()
    (documents / "copyright").unlink()
    text = re.sub(
        r"^The text of the license is in /usr/share/common-licenses/.*\n", "", licenses, flags=re.MULTILINE
    )
    folder = stage / "usr/share/licenses/cancorderd"
    folder.mkdir(parents=True)
    (folder / "LICENSE").write_text(text)


def bundled(stage: Path) -> list[Distribution]:
    """Return the bundled packages, sorted by name; without cancorderd itself."""
    found = map(Distribution.at, (stage / package.PRIVATE).glob("*.dist-info"))
    others = (item for item in found if item.metadata["Name"] != "cancorderd")
    return sorted(others, key=lambda item: normalized(item.metadata["Name"]))


def licenses(packages: list[Distribution]) -> str:
    """Return the licenses of cancorderd and the bundled packages as an SPDX expression."""
    found = {"MIT"}
    for item in packages:
        known = "License-Expression" in item.metadata
        expression = item.metadata["License-Expression"] if known else ""
        name = normalized(item.metadata["Name"])
        for part in (expression or f"LicenseRef-{name}").split(" AND "):
            found.add(f"({part})" if " OR " in part and not part.startswith("(") else part)
    return " AND ".join(sorted(found))


def paths(stage: Path) -> list[str]:
    """Return all files, and the folders that no other package has, sorted; relative to the root folder."""
    own = {
        path
        for root in (
            "usr/lib/cancorderd",
            "usr/share/doc/cancorderd",
            "usr/share/licenses/cancorderd",
            "etc/cancorder.d",
        )
        for path in (stage / root, *(stage / root).rglob("*"))
        if path.is_dir()
    }
    files = {path for path in stage.rglob("*") if not path.is_dir()}
    return sorted(str(path.relative_to(stage)) for path in own | files)


def specification(build: Build, files: Path) -> str:
    """Return the text of the .spec file; `files` has the list of the package's files."""
    packages = bundled(build.stage)
    provides = (
        f"Provides: bundled(python3dist({normalized(item.metadata['Name'])})) = {item.version}"
        for item in packages
    )
    values = {
        "VERSION": build.version,
        "NUMBER": str(build.release.number),
        "GLIBC": build.release.glibc,
        "PYTHON": build.release.python,
        "LICENSE": licenses(packages),
        "REQUIRES": "\n".join(
            f"Requires: {re.sub('[()]', '', text)}" for text in build.release.debian.values()
        ),
        "BUNDLED": "\n".join(provides),
        "STAGE": str(build.stage),
        "LIST": str(files),
    }
    text = (HERE / "cancorderd.spec.in").read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def build_rpm(build: Build, output: Path) -> Path:
    """Build the RPM; return its path."""
    lines = ["%defattr(-,root,root)\n"]
    for path in paths(build.stage):
        mark = "%dir " if (build.stage / path).is_dir() else ""
        lines.append(f'{_MARKS.get(path, mark)}"/{path}"\n')
    files, spec = build.work / "files", build.work / "cancorderd.spec"
    files.write_text("".join(lines))
    spec.write_text(specification(build, files))
    command = ["rpmbuild", "-bb", "--quiet", "--target", f"{build.arch}-linux"]
    folders = {"_topdir": str(build.work / "rpmbuild"), "_rpmdir": str(build.work / "rpms")}
    for name, value in {**_RPM, **folders}.items():
        command += ["--define", f"{name} {value}"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(build.epoch)}
    subprocess.run([*command, spec], check=True, stdout=sys.stderr, env=environment)
    (built,) = (build.work / "rpms").rglob("*.rpm")
    return Path(shutil.move(built, output / built.name))


def build_arch(build: Build, output: Path) -> Path:
    """Build the package for Arch Linux; return its path."""
    root = build.work / "arch"
    shutil.copytree(build.stage, root, symlinks=True)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    (root / ".PKGINFO").write_text(package_info(build, size))
    shutil.copyfile(HERE / "cancorderd.install", root / ".INSTALL")
    for name in (".PKGINFO", ".INSTALL"):
        (root / name).chmod(0o644)
        os.utime(root / name, (build.epoch, build.epoch))
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    owner = ["--uid", "0", "--gid", "0", "--uname", "root", "--gname", "root"]
    tree = [
        *("bsdtar", "-cnzf", "-", *owner, "--format=mtree"),
        f"--options={_MTREE},gzip:!timestamp",
        "-T",
        "-",
    ]
    mtree = subprocess.run(
        tree, check=True, cwd=root, input="\n".join(names).encode(), stdout=subprocess.PIPE
    )
    (root / ".MTREE").write_bytes(mtree.stdout)
    (root / ".MTREE").chmod(0o644)
    os.utime(root / ".MTREE", (build.epoch, build.epoch))
    result = output / f"cancorderd-{build.version}-1-{build.arch}.pkg.tar.zst"
    tar = ["bsdtar", "-cnf", "-", *owner, "-T", "-"]
    packed = subprocess.run(
        tar, check=True, cwd=root, input="\n".join([".MTREE", *names]).encode(), stdout=subprocess.PIPE
    )
    subprocess.run(["zstd", "-q", "-9", "-f", "-o", result, "-"], check=True, input=packed.stdout)
    return result


def package_info(build: Build, size: int) -> str:
    """Return .PKGINFO (PKGINFO is described in PKGBUILD(5) and libalpm's documentation)."""
    major, _, minor = build.release.python.partition(".")
    lines = [
        *(
            "pkgname = cancorderd",
            "pkgbase = cancorderd",
            "xdata = pkgtype=pkg",
            f"pkgver = {build.version}-1",
        ),
        f"pkgdesc = {_DESCRIPTION}",
        f"builddate = {build.epoch}",
        f"packager = {package.maintainer()}",
        f"size = {size}",
        f"arch = {build.arch}",
        *(f"license = {text}" for text in licenses(bundled(build.stage)).split(" AND ")),
        "backup = etc/cancorder.toml",
        f"depend = python>={build.release.python}",
        f"depend = python<{major}.{int(minor) + 1}",
        *(f"depend = {name}" for name in _ARCH_DEPENDS),
        "optdepend = libusb: gs_usb adapters",
        "optdepend = can-utils: tools for SocketCAN",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
