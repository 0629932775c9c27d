"""Asks a running daemon. Nothing but the standard library, so that `cancorderctl` answers at once."""

from __future__ import annotations

import json
import os
import socket
from http.client import HTTPConnection, HTTPException
from typing import Any

from cancorderd.control import protocol
from cancorderd.control.protocol import Exit

_TIMEOUT_S = 30.0
"""Longer than the daemon waits for a reload to be in force."""


class ControlError(Exception):
    """The daemon cannot be asked, or says no. `status` is the exit status that goes with it."""

    def __init__(self, text: str, status: Exit) -> None:
        super().__init__(text)
        self.status = status


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("cancorder", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


class ControlClient:
    """One daemon, by its socket; without a path, the first that exists of the usual places."""

    def __init__(self, path: str | None = None) -> None:
        places = protocol.sockets_to_try(os.geteuid())
        self.path = path or next((place for place in places if os.path.exists(place)), places[0])

    def ask(self, method: str, path: str) -> dict[str, Any]:
        """The JSON that the daemon answers. Raises ControlError."""
        connection = _UnixConnection(self.path)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except PermissionError:
            raise ControlError(
                f"{self.path}: no permission. Use sudo, or become a member of the group {protocol.GROUP}: "
                f"sudo usermod -aG {protocol.GROUP} $USER (and log in again).",
                Exit.NO_PERMISSION,
            ) from None
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise ControlError(
                f"cancorderd is not running: nothing answers at {self.path}. Start it "
                "(sudo systemctl start cancorderd, or cancorderd -c FILE), or name its socket with --socket.",
                Exit.NOT_RUNNING,
            ) from None
        except (OSError, HTTPException, ValueError) as error:
            raise ControlError(f"{self.path}: {error}. Look into the daemon's log.", Exit.FAILED) from error
        finally:
            connection.close()
        if response.status == 403:
            raise ControlError(f"no permission: {answer['error']}", Exit.NO_PERMISSION)
        if response.status not in (200, 422):
            raise ControlError(str(answer.get("error", answer)), Exit.FAILED)
        return answer
