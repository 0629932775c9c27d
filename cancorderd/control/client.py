"""Asks a running daemon. Nothing but the standard library, so that `cancorderctl` answers at once."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any

from cancorderd.control import protocol
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_S = 30.0
"""Longer than the daemon waits for a reload to be in force."""


class ControlError(Exception):
    """The daemon cannot be asked, or says no. `status` is the exit status that goes with it."""

    def __init__(self, text: str, status: Exit) -> None:
        super().__init__(text)
        self.status = status


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout_s: float | None) -> None:
        super().__init__("cancorder")
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(self._path)


def _has_a_daemon(path: str) -> bool:
    """False for a socket that nobody listens on, such as one that a killed daemon left."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except PermissionError:
            return True  # there is one, and the question itself will tell what is missing
        except OSError:
            return False
    return True


class ControlClient:
    """One daemon, by its socket; without a path, the first that answers of the usual places."""

    def __init__(self, path: str | None = None, timeout_s: float = _TIMEOUT_S) -> None:
        """An answer may take `timeout_s` seconds, those to a reload too."""
        self._timeout_s = timeout_s
        places = protocol.sockets_to_try(os.geteuid())
        self.path = path or next(filter(_has_a_daemon, places), places[0])

    def ask(self, method: str, path: str) -> dict[str, Any]:
        """The JSON that the daemon answers. Raises ControlError."""
        with self._response(method, path) as response:
            answer: dict[str, Any] = json.loads(response.read())
        if response.status == 403:
            raise ControlError(f"no permission: {answer['error']}", Exit.NO_PERMISSION)
        if response.status not in (200, 422):
            raise ControlError(str(answer.get("error", answer)), Exit.FAILED)
        return answer

    def events(self, *, follow: bool) -> Iterator[dict[str, Any]]:
        """What happened and, with `follow`, what happens, for ever. Raises ControlError."""
        path = f"{protocol.EVENTS}?follow={int(follow)}"
        with self._response("GET", path, for_ever=follow) as response:
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    @contextlib.contextmanager
    def _response(self, method: str, path: str, *, for_ever: bool = False) -> Iterator[HTTPResponse]:
        """The answer while it is read. Raises ControlError for all that can go wrong on the way."""
        connection = _UnixConnection(self.path, None if for_ever else self._timeout_s)
        try:
            connection.request(method, path)
            yield connection.getresponse()
        except PermissionError:
            raise ControlError(
                f"{self.path}: no permission. Use sudo, or become a member of the group {protocol.GROUP}: "
                f"sudo usermod -aG {protocol.GROUP} $USER (and log in again).",
                Exit.NO_PERMISSION,
            ) from None
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise ControlError(
                f"cancorderd is not running: nothing answers at {self.path}. Start it "
                "(sudo systemctl start cancorderd, cancorderd -c FILE or cancorderd --demo), or name its socket "
                "with --socket.",
                Exit.NOT_RUNNING,
            ) from None
        except TimeoutError:
            raise ControlError(
                f"{self.path}: cancorderd does not answer. Look into its log (journalctl -u cancorderd).",
                Exit.FAILED,
            ) from None
        except (OSError, HTTPException, ValueError) as error:
            raise ControlError(f"{self.path}: {error}. Look into the daemon's log.", Exit.FAILED) from error
        finally:
            connection.close()
