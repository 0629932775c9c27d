"""Failures on the way to the daemon; `test_server` has the client with a server."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from cancorderd.control.client import ControlClient, ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def failure(client: ControlClient) -> ControlError:
    with pytest.raises(ControlError) as error:
        client.status()
    return error.value


def test_no_daemon(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    error = failure(ControlClient(str(path)))
    assert error.status == Exit.NOT_RUNNING
    assert f"cancorderd is not running: nothing answers at {path}." in str(error)


def test_a_killed_daemon_leaves_a_socket_that_nothing_listens_on(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert failure(ControlClient(str(path))).status == Exit.NOT_RUNNING


def test_a_daemon_that_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen()
        error = failure(ControlClient(str(path), timeout_s=0.05))
    assert error.status == Exit.FAILED
    assert "cancorderd does not answer" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"200 OK\r\nContent-Length: 3\r\n\r\n[1]",
        b"500 X\r\nContent-Length: 3\r\n\r\n[1]",
        b"403 Forbidden\r\nContent-Length: 2\r\n\r\n{}",
        b"4\xeb3 \x1b[2J\r\n\r\n",
        b"200 OK\r\n\r\n" + b"[" * 100_000,
    ],
    ids=["array", "array as error", "refusal without a reason", "control characters", "too deep"],
)
def test_an_answer_of_another_program_is_a_printable_failure(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()

        def serve() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 " + answer)

        thread = threading.Thread(target=serve)
        thread.start()
        error = failure(ControlClient(str(path), timeout_s=15))
        thread.join()
    assert str(error).isprintable()


@contextlib.contextmanager
def full_queue(path: Path) -> Iterator[socket.socket]:
    """Yield a listening socket on which a connection waits, so that there is no room for another."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(path))
        listener.listen(0)
        waiting.connect(str(path))
        yield listener


@pytest.mark.skipif(sys.platform != "linux", reason="macOS refuses a connection for which there is no room")
def test_a_queue_of_connections_that_stays_full(tmp_path: Path) -> None:
    with full_queue(tmp_path / "control.sock"):
        error = failure(ControlClient(str(tmp_path / "control.sock"), full_for_s=0))
    assert error.status == Exit.FAILED
    assert "cancorderd does not answer" in str(error)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS refuses a connection for which there is no room")
def test_a_queue_of_connections_that_is_full_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"version": "1"}'
    path = tmp_path / "cancorder" / "control.sock"
    path.parent.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with full_queue(path) as listener:
        client = ControlClient(full_for_s=60)
        assert client.path == str(path), "a daemon without room is one"
        accepted: list[socket.socket] = []

        def make_room(_seconds: float) -> None:
            accepted.append(listener.accept()[0])
            thread.start()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        monkeypatch.setattr("time.sleep", make_room)
        assert client.status()["version"] == "1"
        thread.join()
        accepted.pop().close()
        assert not accepted, "it waited once"


def test_the_daemon_of_the_user_is_found_without_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "cancorder").mkdir()
    path = tmp_path / "cancorder" / "control.sock"
    assert ControlClient().path == "/run/cancorder/control.sock"
    with socket.socket(socket.AF_UNIX) as demo:
        demo.bind(str(path))
        demo.listen()
        assert ControlClient().path == str(path)
