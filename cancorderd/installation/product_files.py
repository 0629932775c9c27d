"""Files that belong to the product beside its code, and where they are.

There are three kinds of installations. A wheel has the files in `share` beside this package (packaging/wheel/build_hook.py
puts them there), at the same places as in a checkout; a checkout, also one that is installed as editable, has them where
they are kept; a package of a distribution has them where its policy wants them.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_DOCUMENTS = "/usr/share/doc/cancorderd"


class ProductFile(NamedTuple):
    """A file or folder of the product."""

    name: str
    summary: str
    source: str
    """Place in the checkout, and in `share`."""
    packaged: str | None
    """Place in the packages of distributions; None: not part of them."""


FILES = (
    ProductFile("example", "configuration, commented", "etc/cancorder.toml", None),
    ProductFile("guide", "guide, from README.md on", "contrib/guide", f"{_DOCUMENTS}/guide"),
    ProductFile("man", "manual pages", "packaging/man", "/usr/share/man"),
    ProductFile(
        "unit",
        "service of systemd",
        "packaging/systemd/cancorderd.service",
        "/usr/lib/systemd/system/cancorderd.service",
    ),
    ProductFile(
        "web-unit",
        "service of systemd for the page for browsers",
        "packaging/systemd/cancorderd-web.service",
        "/usr/lib/systemd/system/cancorderd-web.service",
    ),
    ProductFile(
        "socket-unit",
        "example of a port that systemd opens",
        "packaging/systemd/cancorderd.socket.example",
        f"{_DOCUMENTS}/examples/cancorderd.socket.example",
    ),
    ProductFile("drop-ins", "options of the service", "packaging/systemd/drop-ins", f"{_DOCUMENTS}/examples"),
    ProductFile(
        "sysusers",
        "users and groups of the service",
        "packaging/systemd/cancorderd.sysusers",
        "/usr/lib/sysusers.d/cancorderd.conf",
    ),
    ProductFile(
        "tmpfiles",
        "folders of the service",
        "packaging/systemd/cancorderd.tmpfiles",
        "/usr/lib/tmpfiles.d/cancorderd.conf",
    ),
    ProductFile(
        "udev",
        "permissions of USB adapters",
        "packaging/udev/60-cancorderd.rules",
        "/usr/lib/udev/rules.d/60-cancorderd.rules",
    ),
    ProductFile("launchd", "service of macOS: install", "packaging/launchd", None),
    ProductFile(
        "wireshark",
        "dissector",
        "contrib/wireshark/ecuconnect.lua",
        f"{_DOCUMENTS}/wireshark/ecuconnect.lua",
    ),
    ProductFile(
        "examples", "clients in Python, C and JavaScript", "contrib/examples", f"{_DOCUMENTS}/examples"
    ),
    ProductFile("database", "signals of the mock bus", "contrib/mock.dbc", f"{_DOCUMENTS}/mock.dbc"),
    ProductFile("openapi", "description of the HTTP interface", "contrib/openapi", f"{_DOCUMENTS}/openapi"),
    ProductFile("hub", "set-up of a hub, a NATS server", "contrib/hub", f"{_DOCUMENTS}/hub"),
    ProductFile("grafana", "dashboard", "contrib/grafana", f"{_DOCUMENTS}/grafana"),
    ProductFile("prometheus", "alerts", "contrib/prometheus", f"{_DOCUMENTS}/prometheus"),
)


class MissingFileError(Exception):
    """A file of the product is not part of the installation; `str()` says which."""


def locations(package: str = _PACKAGE) -> dict[str, str]:
    """Return the path of each file that this installation has, by name."""
    return {file.name: path for file in FILES if (path := _location(file, package))}


def location(name: str) -> str:
    """Return the path of a file. Raises MissingFileError; KeyError for a name that no file has."""
    file = {file.name: file for file in FILES}[name]
    path = _location(file, _PACKAGE)
    if path is None:
        raise MissingFileError(f"this installation has no {name} ({file.summary}).")
    return path


def text(name: str) -> str:
    """Return the contents of a file. Raises MissingFileError or OSError."""
    with open(location(name), encoding="utf-8") as file:
        return file.read()


def manual_pages() -> list[str]:
    """Return the paths of the manual pages. Raises MissingFileError."""
    folder = location("man")
    return [
        os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name[-2:] in (".1", ".5", ".8")
    ]


def _location(file: ProductFile, package: str) -> str | None:
    checkout = os.path.dirname(package)
    candidates = [os.path.join(package, "share", file.source)]
    if os.path.exists(os.path.join(checkout, "pyproject.toml")):
        candidates.append(os.path.join(checkout, file.source))
    elif file.packaged and package.startswith("/usr/"):
        candidates.append(file.packaged)
    return next(filter(os.path.exists, candidates), None)
