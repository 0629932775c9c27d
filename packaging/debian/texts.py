"""Generated texts of the Debian package: control, changelog, copyright and entry points. Pure."""

from __future__ import annotations

import re
import textwrap
from email.utils import formatdate
from importlib.metadata import Distribution
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import PackageMetadata
    from pathlib import Path

    from dependencies import Release

_OWN_DEPENDS = (
    "libc6 (>= {glibc})",
    "libgcc-s1",
    "init-system-helpers (>= 1.54)",
    "python3 (>= {python})",
    "python3 (<< {next_python})",  # the bundled modules are compiled for one minor version
    "systemd | systemd-standalone-sysusers | systemd-sysusers",
)
_DESCRIPTION = """\
CAN gateway daemon: every frame of many CAN buses, to every analyzer
 Reads every CAN adapter that /etc/cancorder.toml lists (SocketCAN, gs_usb,
 serial adapters, TouCAN, any interface of python-can) and streams every frame
 over TCP to CANcorder and to any other program that speaks the ECUconnect
 Logger protocol, one port per bus, announced by Zeroconf.
 .
 One process per bus: when an adapter is unplugged, a bus goes off, a process
 hangs or a viewer stalls, everything else goes on and the broken part comes
 back by itself; what was lost is counted and shown.
"""
_COMMON_LICENSES = {
    "LGPL-3.0-only": "LGPL-3",
    "LGPL-2.1-or-later": "LGPL-2.1",
    "GPL-2.0-or-later OR Apache-2.0": "Apache-2.0",
    "Apache-2.0 OR BSD-2-Clause": "Apache-2.0",
    "Apache-2.0": "Apache-2.0",
    "Apache 2 License": "Apache-2.0",
    "MPL-2.0": "MPL-2.0",
}
"""Debian's copy of a license's text: its file name in /usr/share/common-licenses."""


def control(release: Release, version: str, arch: str, maintainer: str, size_kib: int) -> str:
    major, _, minor = release.python.partition(".")
    own = ", ".join(_OWN_DEPENDS).format(
        glibc=release.glibc, python=release.python, next_python=f"{major}.{int(minor) + 1}"
    )
    depends = ", ".join([own, *release.debian.values()])
    return (
        f"Package: cancorderd\nVersion: {release.package_version(version)}\nArchitecture: {arch}\nMaintainer: {maintainer}\n"
        f"Installed-Size: {size_kib}\nDepends: {depends}\n"
        "Recommends: libusb-1.0-0\nSuggests: can-utils\n"
        f"Section: net\nPriority: optional\nDescription: {_DESCRIPTION}"
    )


def changelog(markdown: str, release: Release, version: str, maintainer: str, epoch: int) -> str:
    """Return CHANGELOG.md in Debian's format. The newest entry gets the version of the package."""
    entries = []
    for number, section in enumerate(re.split(r"^## ", markdown, flags=re.MULTILINE)[1:]):
        title, _, body = section.partition("\n")
        points = [" ".join(point.split()) for point in re.split(r"^- ", body, flags=re.MULTILINE)[1:]]
        wrapped = "\n".join(
            textwrap.fill(point, 76, initial_indent="  * ", subsequent_indent="    ") for point in points
        )
        name = release.package_version(version if number == 0 else title.split()[0])
        date = formatdate(epoch, usegmt=True).replace("GMT", "+0000")
        entries.append(
            f"cancorderd ({name}) {release.codename}; urgency=medium\n\n{wrapped}\n\n -- {maintainer}  {date}\n"
        )
    return "\n".join(entries)


def copyright_file(own_license: str, private: Path) -> str:
    """Return our license, then the license of each package bundled in `private` and the location of its text."""
    parts = ["cancorderd\n==========\n", own_license]
    for dist_info in sorted(private.glob("*.dist-info")):
        metadata = Distribution.at(dist_info).metadata
        title = f"{metadata['Name']} {metadata['Version']}, in /usr/lib/cancorderd"
        license_name = next(
            (metadata[key] for key in ("License-Expression", "License") if key in metadata), ""
        )
        lines = [f"\n{title}\n{'=' * len(title)}\n", f"License: {license_name}"]
        # Debian requires a reference to its copy; the texts of other licenses are included.
        if common := _COMMON_LICENSES.get(license_name):
            lines.append(f"The text of the license is in /usr/share/common-licenses/{common}.")
        files = sorted(file for file in dist_info.rglob("*") if re.match(r"LICEN[CS]E|COPYING", file.name))
        lines += [f"Text: /usr/lib/cancorderd/{file.relative_to(private)}" for file in files]
        if home := _home(metadata):
            lines.append(f"Source: {home}")
        if not common:
            lines += ["", *(file.read_text().strip() for file in files)]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def _home(metadata: PackageMetadata) -> str | None:
    """Return the URL of a package's source, if known."""
    for entry in metadata.get_all("Project-URL") or []:
        label, _, url = entry.partition(", ")
        if label.lower() in ("source", "source code", "homepage", "repository"):
            return str(url)
    return metadata["Home-page"] if "Home-page" in metadata else None  # noqa: SIM401 - PackageMetadata has no get()


def entry_points(groups: dict[str, dict[str, str]]) -> str:
    """Return `entry-points` of pyproject.toml in the format that importlib.metadata reads."""
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items()), ""]
    return "\n".join(lines)
