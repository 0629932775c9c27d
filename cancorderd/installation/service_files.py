"""The files of the service of systemd, made for an environment, and how they get to their places and away again.

Each file begins with a mark, by which it is known later: a file without it belongs to somebody else and is neither replaced nor
removed. All paths are those of the finished system; `root` is the folder below which it is built.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.installation import product_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.installation.environment import Environment

UNITS = ("cancorderd.service", "cancorderd-web.service")
CONFIGURATION = "/etc/cancorder.toml"
DROP_INS = "/etc/cancorder.d"
PACKAGED_UNITS = ("/usr/lib/systemd/system/cancorderd.service", "/lib/systemd/system/cancorderd.service")
_SYSTEMD = "/etc/systemd/system"
_MARK = "# Written by `cancorderctl service install`"
_PLACES = {
    "unit": f"{_SYSTEMD}/cancorderd.service",
    "web-unit": f"{_SYSTEMD}/cancorderd-web.service",
    "sysusers": "/etc/sysusers.d/cancorderd.conf",
    "tmpfiles": "/etc/tmpfiles.d/cancorderd.conf",
    "udev": "/etc/udev/rules.d/60-cancorderd.rules",
}
_WANTED = {
    f"{_SYSTEMD}/multi-user.target.wants/cancorderd.service": f"{_SYSTEMD}/cancorderd.service",
    f"{_SYSTEMD}/cancorderd.service.wants/cancorderd-web.service": f"{_SYSTEMD}/cancorderd-web.service",
}
"""The links of `systemctl enable`, as [Install] in the units asks for them."""
_PROGRAMS = (
    "cancorderd",
    "cancorderctl",
    "cancorder-canlogger",
    "cancorder-rusoku-canlogger",
    "cancorder-mock-uds-canlogger",
)
_LOCAL = "/usr/local"


class ForeignFilesError(Exception):
    """Files of somebody else are in the way; `str()` names them."""


class ServiceFiles(NamedTuple):
    """Texts by path, and targets of symbolic links by path."""

    texts: dict[str, str]
    links: dict[str, str]
    """Links for `systemctl`."""
    conveniences: dict[str, str]
    """Links in /usr/local, by which shells and `man` find the programs and their pages."""


def service_files(environment: Environment, read: dict[str, str], pages: Sequence[str]) -> ServiceFiles:
    """Return the files for an environment. `read`: the product's own, by name; `pages`: paths of the manual pages."""
    mark = f"{_MARK} for {environment.prefix}.\n"
    texts = {
        place: mark + read[name].replace("/usr/bin/cancorder", f"{_escaped(environment.commands)}/cancorder")
        for name, place in _PLACES.items()
    }
    conveniences = {f"{_LOCAL}/bin/{name}": f"{environment.commands}/{name}" for name in _PROGRAMS}
    for page in pages:
        conveniences[f"{_LOCAL}/share/man/man{page[-1]}/{os.path.basename(page)}"] = page
    return ServiceFiles(texts, dict(_WANTED), conveniences)


def read_product() -> dict[str, str]:
    """Return the texts that `service_files` needs. Raises MissingFileError or OSError."""
    return {name: product_files.text(name) for name in _PLACES}


def _escaped(path: str) -> str:
    """Return a path as ExecStart= has to have it (systemd.service(5): "Command lines", systemd.unit(5): "Specifiers")."""
    return path.replace("%", "%%").replace("\\", "\\\\").replace(" ", "\\x20")


def write(files: ServiceFiles, root: str, example: str) -> list[str]:
    """Write all files, and a configuration if there is none; return the paths of what is new or replaced.

    Raises ForeignFilesError before anything is written; OSError.
    """
    foreign = [
        path for path in files.texts if os.path.lexists(_below(root, path)) and not _is_ours(root, path)
    ]
    if foreign:
        raise ForeignFilesError(", ".join(foreign))
    texts = dict(files.texts)
    if not os.path.lexists(_below(root, CONFIGURATION)):
        texts[CONFIGURATION] = example
    for path, text in texts.items():
        _write(_below(root, path), text)
    os.makedirs(_below(root, DROP_INS), exist_ok=True)
    for path, target in files.links.items():
        _link(_below(root, path), target)
    return [*texts, *(path for path, target in files.conveniences.items() if _offer(root, path, target))]


def is_installed(root: str) -> bool:
    """Return whether there is a file that `write` wrote."""
    return any(_is_ours(root, path) for path in _PLACES.values())


def remove(files: ServiceFiles, root: str) -> list[str]:
    """Remove the files that `write` wrote, without the configuration; return their paths. Raises OSError."""
    removed = [path for path in files.texts if _is_ours(root, path)]
    removed += [path for path in files.links if removed and os.path.islink(_below(root, path))]
    removed += [path for path, target in files.conveniences.items() if _points_to(_below(root, path), target)]
    for path in removed:
        os.unlink(_below(root, path))
    for path in files.links:  # systemd knows a folder of one's own unit by its name
        folder = os.path.dirname(_below(root, path))
        if folder.endswith(".service.wants") and os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)
    return removed


def _below(root: str, path: str) -> str:
    return os.path.join(root, path.lstrip("/"))


def _is_ours(root: str, path: str) -> bool:
    try:
        with open(_below(root, path), encoding="utf-8", errors="replace") as file:
            return file.readline().startswith(_MARK)
    except FileNotFoundError:
        return False


def _write(path: str, text: str) -> None:
    """Replace a file as a whole."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def _link(path: str, target: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)


def _offer(root: str, path: str, target: str) -> bool:
    """Make a link if its place is free, or holds an older one; return whether it is there now."""
    place = _below(root, path)
    if path == target or (os.path.lexists(place) and not os.path.islink(place)):
        return False
    if os.path.islink(place) and os.path.exists(place) and not _points_to(place, target):
        return False
    _link(place, target)
    return True


def _points_to(path: str, target: str) -> bool:
    return os.path.islink(path) and os.readlink(path) == target
