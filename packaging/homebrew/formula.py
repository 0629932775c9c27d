"""Write the Homebrew formula, or renew the lock of its resources; started by `formula`."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LOCK = HERE / "lock.toml"
TEMPLATE = HERE / "cancorderd.rb.in"
PYTHON = "3.13"
"""Homebrew's formula python@PYTHON, which runs cancorderd."""
EXTRAS = ("nats",)
"""Extras of pyproject.toml that the formula includes."""
_HEAD = """\
# Packages that cancorderd needs on macOS, with the checksums of their source archives.
# Written by `packaging/homebrew/formula lock`.
"""


class Resource(NamedTuple):
    """A package's source archive."""

    name: str
    version: str
    sha256: str
    url: str = ""
    """Empty in the lock."""


class Mismatch(Exception):
    """A package differs from the lock, or has no source archive. The message names it and the remedy."""


def resources(pylock: dict[str, Any]) -> list[Resource]:
    """Return the packages of a pylock.toml (PEP 751), sorted by name. Raises Mismatch if one has no source archive."""
    found = []
    for package in pylock["packages"]:
        if "sdist" not in package:
            raise Mismatch(f"{package['name']} {package['version']} has no source archive")
        sdist = package["sdist"]
        found.append(Resource(package["name"], package["version"], sdist["hashes"]["sha256"], sdist["url"]))
    return sorted(found)


def lock_text(packages: Iterable[Resource]) -> str:
    tables = (f'\n[{item.name}]\nversion = "{item.version}"\nsha256 = "{item.sha256}"\n' for item in packages)
    return _HEAD + "".join(tables)


def locked(text: str) -> list[Resource]:
    """Return the packages of lock.toml."""
    return [
        Resource(name, item["version"], item["sha256"]) for name, item in sorted(tomllib.loads(text).items())
    ]


def compare(lock: Sequence[Resource], packages: Sequence[Resource]) -> None:
    """Raise Mismatch unless `packages` are those of the lock, with the same checksums."""
    differing = {item._replace(url="") for item in packages} ^ set(lock)
    if differing:
        names = ", ".join(sorted({item.name for item in differing}))
        raise Mismatch(
            f"{names}: not as in lock.toml. If that is right, run packaging/homebrew/formula lock first"
        )


def formula(template: str, packages: Iterable[Resource], url: str, sha256: str, homepage: str) -> str:
    """Return the formula, with a resource for each package."""
    stanzas = "\n\n".join(
        f'  resource "{item.name}" do\n    url "{item.url}"\n    sha256 "{item.sha256}"\n  end'
        for item in packages
    )
    _, _, text = template.partition("\n")  # the first line describes the template
    for key, value in (
        ("@HOMEPAGE@", homepage),
        ("@URL@", url),
        ("@SHA256@", sha256),
        ("%PYTHON%", PYTHON),
        ("@RESOURCES@", stanzas),
    ):
        text = text.replace(key, value)
    return text


def resolved() -> dict[str, Any]:
    """Return what uv chooses for macOS, as the content of a pylock.toml."""
    command = [
        *("uv", "pip", "compile", "--quiet", "--format", "pylock.toml"),
        *("--python-platform", "macos", "--python-version", PYTHON),
        *("--constraint", str(ROOT / "tests/requirements.txt")),
        *(word for extra in EXTRAS for word in ("--extra", extra)),
        str(ROOT / "pyproject.toml"),
    ]
    return tomllib.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="formula", description="Write the Homebrew formula, or its lock.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lock", help="renew lock.toml")
    write = commands.add_parser("write", help="write cancorderd.rb for a release")
    write.add_argument("--sdist", type=Path, required=True, help="source archive of the release")
    write.add_argument("--url", required=True, help="address at which it will be")
    write.add_argument("--homepage", required=True)
    write.add_argument("-o", "--output", type=Path, default=ROOT / "dist", metavar="FOLDER")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    try:
        packages = resources(resolved())
        if options.command == "lock":
            LOCK.write_text(lock_text(packages))
            print(LOCK)
            return 0
        compare(locked(LOCK.read_text()), packages)
    except (Mismatch, subprocess.CalledProcessError) as error:
        print(f"formula: {error}", file=sys.stderr)
        return 1
    sha256 = hashlib.sha256(options.sdist.read_bytes()).hexdigest()
    text = formula(TEMPLATE.read_text(), packages, options.url, sha256, options.homepage)
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / "cancorderd.rb"
    file.write_text(text)
    print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
