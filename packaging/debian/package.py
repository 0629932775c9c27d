"""Build the Debian package; started by `build`.

A staging folder receives all files at their places on the target machine, and dpkg-deb packs it. The same checkout
gives the same bytes: times come from the last commit, owners are root, files are sorted.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from urllib.parse import quote

import texts
from dependencies import Release, UnknownOrigin, codenames

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = "usr/lib/cancorderd"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "armv7l"}
"""Debian's name of an architecture, and the one in the names of wheels."""
TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "armhf": "arm-linux-gnueabihf"}
OLDEST_GLIBC = 17
"""Of manylinux2014: older wheels are not looked for."""
FILES = {
    "etc/cancorder.toml": "etc/cancorder.toml",
    "packaging/systemd/cancorderd.service": "{units}/cancorderd.service",
    "packaging/systemd/cancorderd-web.service": "{units}/cancorderd-web.service",
    "packaging/systemd/cancorderd.sysusers": "usr/lib/sysusers.d/cancorderd.conf",
    "packaging/systemd/cancorderd.tmpfiles": "usr/lib/tmpfiles.d/cancorderd.conf",
    "packaging/udev/60-cancorderd.rules": "{udev}/60-cancorderd.rules",
}
"""Files of the checkout, and their places; the release names two folders."""
SOURCE_ONLY = ("nkeys",)
"""Bundled packages in pure Python of which the package index has no wheel."""
EXAMPLES = ("packaging/systemd/*.example", "packaging/systemd/drop-ins/*.conf")
"""Files for the administrator to copy; each begins with its purpose."""
GUIDE = (
    "guide/**/*.md",
    "guide/faults/*",
    "guide/fleet/*",
    "guide/how-fast/*",
    "guide/web/*",
    "containers/*",
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

# The second folder is for packages that the administrator adds, such as asammdf.
folders = ["/{private}", "/usr/local/lib/cancorderd"]
sys.path[:0] = folders
# Workers are Python processes of their own, which need the same path.
os.environ.update(PYTHONPATH=":".join(folders), PYTHONSAFEPATH="1", PYTHONNOUSERSITE="1")

from {module} import {function}

sys.exit({function}())
"""


def main() -> int:
    options = arguments()
    arch = options.arch or output_of("dpkg", "--print-architecture")
    codename = options.release or host_release()
    if arch not in MACHINES:
        print(f"build: no package for {arch}. Use --arch {' or '.join(MACHINES)}", file=sys.stderr)
        return 2
    if codename not in codenames(ROOT):
        known = " or ".join(codenames(ROOT))
        print(
            f"build: this machine runs no release that has a package. Use --release {known}", file=sys.stderr
        )
        return 2
    release = Release(ROOT, codename)
    version = options.version or project_version()
    epoch = source_date()
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder, "stage")
        try:
            install_bundled(stage / PRIVATE, release, arch)
            stage_files(stage, release, version, epoch)
            write_completions(stage)
            write_control_files(stage, release, version, arch)
        except UnknownOrigin as error:
            print(f"build: {error}", file=sys.stderr)
            return 1
        normalize(stage, epoch)
        options.output.mkdir(parents=True, exist_ok=True)
        package = options.output / f"cancorderd_{release.package_version(version)}_{arch}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", stage, package],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        )  # fmt: skip
        bill = bill_of_materials(stage / PRIVATE, release.package_version(version), arch, epoch)
        package.with_suffix(".cdx.json").write_text(bill, encoding="utf-8")
    print(package)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="build", description="Build cancorderd_VERSION+debN_ARCH.deb.")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, default=ROOT / "dist")
    parser.add_argument(
        "--release", choices=codenames(ROOT), help="release of Debian; default: this machine's"
    )
    parser.add_argument("--arch", choices=MACHINES, help="default: this machine's")
    parser.add_argument("--version", help="version instead of the checkout's, to test upgrades")
    return parser.parse_args()


def host_release() -> str:
    """Return the code name of this machine's release, or nothing."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


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


def install_bundled(private: Path, release: Release, arch: str) -> None:
    """Install the packages that the release lacks into `private`. Raises UnknownOrigin."""
    release.check_project()
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
            *("--root-user-action", "ignore", "--target", private, "--no-deps", "--no-compile"),
            *("--only-binary", ":all:", "--implementation", "cp", "--python-version", release.python),
            *("--no-binary", ",".join(SOURCE_ONLY)),
            *(
                word
                for name in wheel_platforms(release.glibc)
                for word in ("--platform", f"{name}_{MACHINES[arch]}")
            ),
            *release.pins(),
        ],
        check=True,
    )
    release.check_installed(private)
    shutil.rmtree(private / "bin", ignore_errors=True)
    for name in ("RECORD", "INSTALLER", "REQUESTED", "WHEEL"):
        for path in private.glob(f"*.dist-info/{name}"):
            path.unlink()
    strip(list(private.rglob("*.so")), arch)


def wheel_platforms(glibc: str) -> list[str]:
    """Return the platforms of wheels that run with this glibc or an older one, the newest first."""
    newest = int(glibc.partition(".")[2])
    return [*(f"manylinux_2_{minor}" for minor in range(newest, OLDEST_GLIBC - 1, -1)), "manylinux2014"]


def strip(libraries: list[Path], arch: str) -> None:
    """Remove what only a debugger needs, if this machine has the architecture's binutils."""
    if not libraries:
        return
    program = shutil.which(f"{TRIPLETS[arch]}-strip")
    if program is None and arch == output_of("dpkg", "--print-architecture"):
        program = shutil.which("strip")
    if program:
        subprocess.run([program, "--strip-unneeded", *libraries], check=True)
    else:
        wanted = f"binutils-{TRIPLETS[arch].replace('_', '-')}"
        print(
            f"build: libraries keep their debug symbols. To remove them: apt-get install {wanted}",
            file=sys.stderr,
        )


def stage_files(stage: Path, release: Release, version: str, epoch: int) -> None:
    """Add all files of the project to `stage`."""
    own = stage / PRIVATE / "cancorderd"
    shutil.copytree(
        ROOT / "cancorderd", own, ignore=shutil.ignore_patterns("__pycache__", "py.typed", "*.md")
    )
    package = own / "__init__.py"
    package.write_text(package.read_text().replace(f'"{project_version()}"', f'"{version}"'))
    for source, target in FILES.items():
        place = target.format(units=release.units, udev=release.udev)
        write(stage / place, (ROOT / source).read_bytes())
    write(
        own / "share/etc/cancorder.toml", (ROOT / "etc/cancorder.toml").read_bytes()
    )  # for cancorderd --example
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
    changes = texts.changelog((ROOT / "CHANGELOG.md").read_text(), release, version, maintainer(), epoch)
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


def bill_of_materials(private: Path, version: str, arch: str, epoch: int) -> str:
    """Return the list of everything of others in the package (CycloneDX), for tools that look for vulnerabilities."""
    sys.path.insert(0, str(ROOT / "packaging/sbom"))
    from bill_of_materials import Component, bill, bundled, vendored  # noqa: PLC0415 - found only now

    purl = f"pkg:deb/cancorderd/cancorderd@{quote(version)}?arch={arch}"
    product = Component("cancorderd", version, purl, "MIT")
    others = [component for component in bundled(private) if component.name != product.name]
    return bill(product, [*others, *vendored(ROOT)], epoch)


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


def write_control_files(stage: Path, release: Release, version: str, arch: str) -> None:
    """Write the control files, maintainer scripts and exceptions for lintian."""
    overrides = ROOT / "packaging/debian/lintian-overrides"
    write(stage / "usr/share/lintian/overrides/cancorderd", overrides.read_bytes())
    files = [path for path in sorted(stage.rglob("*")) if path.is_file() and not path.is_symlink()]
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(stage)}\n"
        for path in files
    ]
    size_kib = sum((path.stat().st_size + 1023) // 1024 for path in files)
    text = texts.control(release, version, arch, maintainer(), size_kib)
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
