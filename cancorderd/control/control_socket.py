"""The path of the control socket: taken, kept and given back.

A lock file beside the socket keeps a second daemon away. Nothing is ever deleted at the path but a dead socket of
ours; if ours is removed, for example by a program that cleans up folders, it is made again. Each method may wait for
a file system, and is called in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import logging
import os
import pwd
import socket
import stat
import sys
from typing import TYPE_CHECKING

from cancorderd.control import protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("cancorderd")

_QUEUE = 128
_REMEDY = "or set daemon.control_socket to another path."
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class SocketUnavailable(Exception):
    """The control socket cannot be opened at its path. `str()` gives the path, the fact and the remedy."""


class SocketInUse(SocketUnavailable):
    """Another process uses the path."""


class ControlSocket:
    """The path of the control socket, of which this process is the only user after `open`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock_path = f"{path}.lock"
        self._lock: int | None = None
        """Open until the process ends, and with it the lock."""
        self._identity: tuple[int, ...] | None = None
        """The file that belongs to our socket."""

    def open(self) -> socket.socket:
        """Return a listening socket. Its permissions are set before anybody can connect. Raises SocketUnavailable."""
        with self._explained_errors():
            return self._bind(left_with_lock=self._take_lock())

    def restored(self) -> socket.socket | None:
        """Return a new listening socket if the path or the lock is no longer ours; None if all is well.

        Raises SocketUnavailable if the path is no longer free.
        """
        with self._explained_errors():
            locked_before = self._take_lock()
            return None if self._is_in_place() else self._bind(left_with_lock=locked_before)

    def remove(self) -> None:
        """Remove the socket from its path, unless another file has taken its place."""
        with contextlib.suppress(OSError):
            if self._is_in_place():
                os.unlink(self.path)

    @contextlib.contextmanager
    def _explained_errors(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise SocketUnavailable(
                f"{self.path}: {error.strerror}. Run as a user who may write there, {_REMEDY}"
            ) from error
        except OSError as error:
            fact = error.strerror or error
            raise SocketUnavailable(
                f"{self.path}: {fact}. Set daemon.control_socket to another path."
            ) from error

    def _is_in_place(self) -> bool:
        """Return whether our socket is still at its path."""
        try:
            return self._identity == _identity(self.path)
        except FileNotFoundError:
            return False

    def _bind(self, *, left_with_lock: bool) -> socket.socket:
        self._remove_dead_socket(left_with_lock=left_with_lock)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _bind_for_owner(sock, self.path)
            self._identity = _identity(self.path)
            _share_with_group(self.path)
            sock.listen(_QUEUE)
        except BaseException:
            sock.close()
            raise
        sock.setblocking(False)
        return sock

    def _has_lock(self) -> bool:
        return self._lock is not None and os.path.samestat(os.fstat(self._lock), os.lstat(self._lock_path))

    def _take_lock(self) -> bool:
        """Hold the lock file, also if it was removed; returns whether there was one. Raises SocketUnavailable."""
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            _make_folder(folder)
        existed = True
        while True:
            with contextlib.suppress(FileNotFoundError):
                if self._has_lock():
                    return existed
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
            existed = self._open_lock()

    def _open_lock(self) -> bool:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            # Without O_CREAT first: in /tmp, not even root may open another user's file with it
            # (fs.protected_regular).
            lock, existed = os.open(self._lock_path, flags), True
        except FileNotFoundError:
            lock, existed = os.open(self._lock_path, flags | os.O_CREAT, 0o600), False
        except OSError as error:
            raise SocketUnavailable(f"{self._lock_path}: {_lock_problem(self._lock_path, error)}") from error
        try:
            self._lock_file(lock)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        return existed

    def _lock_file(self, lock: int) -> None:
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            raise SocketUnavailable(
                f"{self._lock_path}: this is no lock file of cancorderd. Move it away, {_REMEDY}"
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SocketInUse(
                f"{self.path}: another cancorderd has this control socket. End it, {_REMEDY}"
            ) from None

    def _remove_dead_socket(self, *, left_with_lock: bool) -> None:
        """Free the path of a socket that a killed daemon has left. Raises SocketUnavailable if it holds anything else."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a file")
            raise SocketUnavailable(f"{self.path}: this is {kind}, not a socket. Move it away, {_REMEDY}")
        if not _is_dead(self.path):
            raise SocketInUse(f"{self.path}: another program uses this socket. End it, {_REMEDY}")
        if not (left_with_lock or found.st_uid == os.geteuid()):
            owner = _user_name(found.st_uid)
            raise SocketUnavailable(
                f"{self.path}: this socket belongs to another user ({owner}). Remove it, {_REMEDY}"
            )
        os.unlink(self.path)


def _bind_for_owner(sock: socket.socket, path: str) -> None:
    """Bind a socket so that from the first moment, nobody but the owner can connect."""
    if sys.platform == "linux":
        # Not the umask: it is the whole process's, and a worker may be started meanwhile.
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(path)
        return
    mask = os.umask(0o177)
    try:
        sock.bind(path)
    finally:
        os.umask(mask)


def _make_folder(folder: str) -> None:
    """Make a folder and those that contain it, so that everyone can reach what is in there, whatever the umask is."""
    parent = os.path.dirname(folder)
    if parent and not os.path.isdir(parent):
        _make_folder(parent)
    try:
        os.mkdir(folder)
    except FileExistsError:  # another process has made it, or it is no folder
        if not os.path.isdir(folder):
            raise
    else:
        os.chmod(folder, 0o755)  # noqa: S103 - the socket in there has permissions of its own


def _identity(path: str) -> tuple[int, ...]:
    """Return numbers that another file at the same path does not share. An inode number alone can be used again."""
    found = os.lstat(path)
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _is_dead(path: str) -> bool:
    """Return whether nobody has this socket open."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _share_with_group(path: str) -> None:
    """Let the group's members connect: they may read.

    Under the service's unit, which forbids chown, the socket belongs to the group from the start.
    """
    try:
        group = grp.getgrnam(protocol.GROUP).gr_gid
    except KeyError:
        return
    try:
        if os.lstat(path).st_gid != group:
            os.chown(path, -1, group)
        os.chmod(path, 0o660)
    except OSError as error:
        log.info(
            "%s: members of the group %s cannot read (%s). Run the daemon with this group.",
            *(path, protocol.GROUP, error.strerror),
        )


def _lock_problem(path: str, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return f"this is a symbolic link, no lock file of cancorderd. Move it away, {_REMEDY}"
    if error.errno == errno.EISDIR:
        return f"this is a folder, no lock file of cancorderd. Move it away, {_REMEDY}"
    with contextlib.suppress(OSError):
        owner = os.lstat(path).st_uid
        if owner != os.geteuid():
            return (
                f"this lock file belongs to another user ({_user_name(owner)}). "
                f"If no cancorderd of theirs runs, remove it, {_REMEDY}"
            )
    return f"{error.strerror or error}. Remove this lock file, {_REMEDY}"


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user id {user}"
