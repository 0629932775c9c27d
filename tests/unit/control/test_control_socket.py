"""The path of the control socket: what is deleted there, and what is not."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from cancorderd.control.control_socket import ControlSocket, SocketInUse, SocketUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OTHER_USER = 12345


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def leave_dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_folder_is_made_and_the_socket_is_for_no_stranger(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control.sock"
    mask = os.umask(0o077)
    try:
        with ControlSocket(str(path)).open():
            assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755, "the group reaches the socket"
            assert connects(path)
    finally:
        os.umask(mask)


def test_second_daemon_is_refused(path: Path) -> None:
    first = ControlSocket(str(path))
    with first.open():
        with pytest.raises(SocketInUse, match="another cancorderd has this control socket"):
            ControlSocket(str(path)).open()
        assert connects(path)


def test_socket_of_a_killed_daemon_is_replaced(path: Path) -> None:
    leave_dead_socket(path)
    with ControlSocket(str(path)).open():
        assert connects(path)


def make_file(path: Path) -> None:
    path.write_text("precious")


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_link(path: Path) -> None:
    leave_dead_socket(path.with_suffix(".target"))
    path.symlink_to(path.with_suffix(".target"))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_file, "a file"),
        (make_folder, "a folder"),
        (make_pipe, "a named pipe"),
        (make_link, "a symbolic link"),
    ],
)
def test_nothing_but_a_socket_is_deleted(path: Path, make: Callable[[Path], None], kind: str) -> None:
    make(path)
    before = path.lstat()
    with pytest.raises(SocketUnavailable, match=f"this is {kind}, not a socket. Move it away, or set daemon"):
        ControlSocket(str(path)).open()
    assert os.path.samestat(before, path.lstat())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_socket_of_another_program_is_not_deleted(path: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        if kind != socket.SOCK_DGRAM:
            other.listen(0)
        with pytest.raises(SocketInUse, match="another program uses this socket"):
            ControlSocket(str(path)).open()
        assert path.is_socket()


def test_busy_socket_of_another_program_is_not_deleted(path: Path) -> None:
    """Nobody accepts its connections: its queue is full."""
    with socket.socket(socket.AF_UNIX) as other, contextlib.ExitStack() as waiting:
        other.bind(str(path))
        other.listen(0)
        for _ in range(3):
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(str(path))
        with pytest.raises(SocketInUse):
            ControlSocket(str(path)).open()
        assert path.is_socket()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@needs_root
def test_dead_socket_of_another_user_is_not_deleted(path: Path) -> None:
    leave_dead_socket(path)
    os.chown(path, OTHER_USER, -1)
    with pytest.raises(SocketUnavailable, match=f"belongs to another user .user id {OTHER_USER}."):
        ControlSocket(str(path)).open()
    assert path.is_socket()


@needs_root
def test_dead_socket_beside_our_lock_is_replaced_though_the_daemon_ran_as_another_user(path: Path) -> None:
    leave_dead_socket(path)
    path.with_name("control.sock.lock").touch()
    os.chown(path, OTHER_USER, -1)
    with ControlSocket(str(path)).open():
        assert connects(path)


@contextlib.contextmanager
def as_user(user: int) -> Iterator[None]:
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


@needs_root
def test_lock_of_another_user_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o777)
    path = tmp_path / "control.sock"
    lock = tmp_path / "control.sock.lock"
    lock.touch(mode=0o600)
    expected = rf"^{lock}: this lock file belongs to another user \(root\)\. If no .* runs, remove it"
    with as_user(OTHER_USER), pytest.raises(SocketUnavailable, match=expected):
        ControlSocket(str(path)).open()
    assert lock.exists()


def make_lock_folder(lock: Path) -> None:
    lock.mkdir()


def make_lock_link(lock: Path) -> None:
    lock.symlink_to(lock.with_name("elsewhere"))


@pytest.mark.parametrize("make", [make_lock_folder, make_lock_link, make_pipe])
def test_lock_that_is_no_file_is_named_and_stays(path: Path, make: Callable[[Path], None]) -> None:
    lock = path.with_name("control.sock.lock")
    make(lock)
    with pytest.raises(SocketUnavailable, match=f"^{lock}: this is .*no lock file of cancorderd"):
        ControlSocket(str(path)).open()
    assert os.path.lexists(lock)
    assert not lock.with_name("elsewhere").exists()


def test_folder_that_cannot_be_made_leaves_the_fact_and_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "control.sock"
    with pytest.raises(
        SocketUnavailable, match=rf"^{path}: .+\. Set daemon.control_socket to another path\.$"
    ):
        ControlSocket(str(path)).open()


@needs_root
def test_folder_without_permission_leaves_the_fact_and_a_remedy(tmp_path: Path) -> None:
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    path = tmp_path / "run" / "control.sock"
    with as_user(OTHER_USER), pytest.raises(SocketUnavailable, match="Run as a user who may write there"):
        ControlSocket(str(path)).open()


def test_remove_leaves_the_socket_of_a_successor(path: Path) -> None:
    ours = ControlSocket(str(path))
    with ours.open():
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
            successor.listen()
            ours.remove()
            assert connects(path)


def test_remove_takes_ours_away(path: Path) -> None:
    ours = ControlSocket(str(path))
    with ours.open():
        ours.remove()
        assert not path.exists()
        ours.remove()


def test_nothing_is_restored_while_all_is_well(path: Path) -> None:
    ours = ControlSocket(str(path))
    with ours.open():
        assert ours.restored() is None


def remove_socket(path: Path) -> None:
    path.unlink()


def remove_all(path: Path) -> None:
    path.unlink()
    path.with_name("control.sock.lock").unlink()


def remove_folder(path: Path) -> None:
    remove_all(path)
    path.parent.rmdir()


@pytest.mark.parametrize("remove", [remove_socket, remove_all, remove_folder])
def test_removed_socket_is_restored_with_its_lock(tmp_path: Path, remove: Callable[[Path], None]) -> None:
    path = tmp_path / "run" / "control.sock"
    ours = ControlSocket(str(path))
    with ours.open():
        remove(path)
        restored = ours.restored()
        assert restored
        with restored:
            assert connects(path)
            assert ours.restored() is None
            with pytest.raises(SocketInUse, match="another cancorderd"):
                ControlSocket(str(path)).open()


def test_removed_lock_alone_is_restored(path: Path) -> None:
    ours = ControlSocket(str(path))
    with ours.open():
        path.with_name("control.sock.lock").unlink()
        assert ours.restored() is None
        assert connects(path)
        with pytest.raises(SocketInUse, match="another cancorderd"):
            ControlSocket(str(path)).open()


def test_path_that_another_program_has_taken_meanwhile_is_left_to_it(path: Path) -> None:
    ours = ControlSocket(str(path))
    with ours.open():
        path.unlink()
        path.write_text("precious")
        with pytest.raises(SocketUnavailable, match="this is a file"):
            ours.restored()
        assert path.read_text() == "precious"


def test_path_that_another_daemon_has_taken_meanwhile_is_left_to_it(path: Path) -> None:
    ours, successor = ControlSocket(str(path)), ControlSocket(str(path))
    with ours.open():
        remove_all(path)
        with successor.open():
            with pytest.raises(SocketInUse):
                ours.restored()
            ours.remove()
            assert connects(path)


def test_members_of_the_group_may_connect_where_chown_is_forbidden(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under the service's unit: the socket belongs to the daemon's group, which is this one."""

    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", forbidden)
    group = os.getegid()
    monkeypatch.setattr(grp, "getgrnam", lambda _name: type("Group", (), {"gr_gid": group}))
    with ControlSocket(str(path)).open():
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_no_other_group_may_connect_if_the_group_cannot_be_given(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", forbidden)
    other = os.getegid() + 1
    monkeypatch.setattr(grp, "getgrnam", lambda _name: type("Group", (), {"gr_gid": other}))
    with ControlSocket(str(path)).open():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lock_is_held(path: Path) -> None:
    lock_path = path.with_name("control.sock.lock")
    with ControlSocket(str(path)).open(), lock_path.open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
