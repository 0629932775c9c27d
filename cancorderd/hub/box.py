"""The folder of a hub in a box, as `contrib/hub/set-up` makes it: its users, and how to reach it as administrator."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import signal
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cancorderd.hub import rights
from cancorderd.hub.access import HubAccess
from cancorderd.hub.failures import AccessMistake, NotPermitted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESERVED = frozenset({"admin", "all"})
"""Names of files in users/ that are nobody's."""
_PID_FILE = re.compile(r'^\s*pid_file\s*[:=]?\s*"([^"]+)"', re.MULTILINE)
_ACCOUNT = re.compile(r'^"(GATEWAY|VIEWER)_', re.MULTILINE)


class Box:
    """A folder with nats-server.conf, admin.toml and users/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._users = folder / "users"

    def access(self) -> HubAccess:
        """Return how the administrator reaches the hub. Raises AccessMistake."""
        file = self.folder / "admin.toml"
        try:
            table: dict[str, Any] = tomllib.loads(file.read_text())
        except OSError as error:
            raise _mistake(error)(
                f"{file}: cannot be read ({error.strerror}). Run this as root on the hub, after contrib/hub/set-up."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise AccessMistake(f"{file}: is no TOML ({error}). Correct it.") from error
        unknown = sorted(set(table) - {key.name for key in fields(HubAccess)})
        if unknown:
            raise AccessMistake(f"{file}: {unknown[0]} is no key. Remove it.")
        urls = table.pop("url", [])
        return HubAccess(tuple([urls] if isinstance(urls, str) else urls), **table)

    @contextlib.contextmanager
    def locked(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Keep other commands that change users out meanwhile; `on_wait` is called if there is one.

        Raises AccessMistake.
        """
        try:
            descriptor = os.open(self._users, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if isinstance(error, PermissionError):
                raise NotPermitted(f"{self._users}: no permission. Run this as root on the hub.") from error
            raise AccessMistake(
                f"{self.folder}: is no hub. Run contrib/hub/set-up there first, as root."
            ) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def names(self) -> dict[str, str]:
        """Return the kind, GATEWAY or VIEWER, of each user."""
        found = {}
        for file in sorted(self._users.glob("*.conf")):
            if file.stem not in RESERVED and (account := _ACCOUNT.search(file.read_text())):
                found[file.stem] = account[1]
        return found

    def add_gateway(self, gateway: str) -> Path:
        """Make the user of a gateway; returns the file with its password. Raises AccessMistake if it exists."""
        return self._add(gateway, rights.gateway_account)

    def add_viewer(self, viewer: str) -> Path:
        return self._add(viewer, rights.viewer_account)

    def remove(self, name: str) -> None:
        """Take a user away. Raises AccessMistake if there is none."""
        file = self._users / f"{name}.conf"
        try:
            if name in RESERVED or not file.exists():
                known = ", ".join(self.names()) or "there is none"
                raise AccessMistake(f"{self.folder}: no user {name}. Name another ({known}).")
            self._listed({each for each in self.names() if each != name})
            file.unlink()
            (self.folder / f"{name}.password").unlink(missing_ok=True)
        except OSError as error:
            raise _mistake(error)(
                f"{file}: cannot be removed ({error.strerror}). Run this as root on the hub."
            ) from error

    def reload(self) -> None:
        """Make the server read its users anew. Raises AccessMistake if it does not run."""
        configuration = self.folder / "nats-server.conf"
        try:
            named = _PID_FILE.search(configuration.read_text())
            if named is None:
                raise AccessMistake(f"{configuration}: names no pid_file. Add it, and start the server anew.")
            process = int(Path(named[1]).read_text())
            if not _is_nats_server(process):
                raise ProcessLookupError
            os.kill(process, signal.SIGHUP)
        except PermissionError as error:
            raise NotPermitted(f"{configuration}: no permission. Run this as root on the hub.") from error
        except (OSError, ValueError) as error:
            raise AccessMistake(
                f"{configuration}: its server does not run. Start it: systemctl start cancorder-hub"
            ) from error

    def require_free(self, name: str) -> None:
        """Raise AccessMistake if a user has this name."""
        file = self._users / f"{name}.conf"
        if name in RESERVED:
            raise AccessMistake(f'{self.folder}: "{name}" is a name of its own use. Choose another name.')
        if file.exists():
            raise AccessMistake(
                f"{file}: exists already. Choose another name, or take it away with hub rm first."
            )

    def _add(self, name: str, account: Callable[[str, str], str]) -> Path:
        file, password_file = self._users / f"{name}.conf", self.folder / f"{name}.password"
        self.require_free(name)
        password = secrets.token_hex(24)
        names = set(self.names()) | {name}
        _write(password_file, f"{password}\n", like=self.folder / "admin.password")
        _write(file, account(name, password), like=self._users / "admin.conf")
        self._listed(names)
        return password_file

    def _listed(self, names: set[str]) -> None:
        lines = [f'include "{name}.conf"\n' for name in sorted(names)]
        text = "".join(["# Written by cancorderctl hub add and hub rm.\n", *lines])
        _write(self._users / "all.conf", text, like=self._users / "admin.conf")


def _is_nats_server(process: int) -> bool:
    """Whether a process may be the server: the number in a file may be that of another program by now."""
    try:
        return b"nats-server" in Path(f"/proc/{process}/cmdline").read_bytes()
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def _write(path: Path, text: str, *, like: Path) -> None:
    """Replace a file at once, with the owner of `like`. Never readable by others. Raises AccessMistake."""
    new = path.with_name(f".{path.name}.new")
    try:
        owner = like.stat()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with open(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o640)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise _mistake(error)(
            f"{path}: cannot be written ({error.strerror}). Run this as root on the hub."
        ) from error


def _mistake(error: OSError) -> type[AccessMistake]:
    return NotPermitted if isinstance(error, PermissionError) else AccessMistake
