"""The client of the control API. Uses only the standard library, so that `cancorderctl` starts quickly."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from cancorderd.control import protocol
from cancorderd.control.http_request import Answer, connected, send_request
from cancorderd.control.protocol import Exit
from cancorderd.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cancorderd.control.protocol import LoggedEvent, ReloadAnswer, StatusAnswer, Verb, VerbAnswer

_TIMEOUT_S = 60.0
"""Longer than a reload takes at most: 5 s to read the file, and 10 s each for a command before it, for buses that end
and for those that start."""

_FULL_FOR_S = 8.0
"""Longer than the daemon keeps a connection without a request."""
_ASK_AGAIN_S = 0.25


class ControlError(Exception):
    """The daemon cannot be reached or refuses the request. `status` is the matching exit status."""

    def __init__(self, text: str, status: Exit) -> None:
        super().__init__(text)
        self.status = status


def _has_a_daemon(path: str) -> bool:
    """Return False if nothing listens on this socket, for example because the daemon was killed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (PermissionError, BlockingIOError):
            return True  # there is a daemon, and the request itself will report the obstacle
        except OSError:
            return False
    return True


def _printable(value: Any) -> Any:
    """Return an answer with printable texts; those of several lines keep them."""
    if isinstance(value, str):
        return "\n".join(printable(line, None) for line in value.split("\n"))
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [*map(_printable, value)] if isinstance(value, list) else value


class ControlClient:
    """Connection to a daemon. Without a path, the first of the usual sockets that has a daemon is used.

    Every method raises ControlError if the daemon cannot be reached or refuses the request.
    """

    def __init__(
        self, path: str | None = None, timeout_s: float = _TIMEOUT_S, full_for_s: float = _FULL_FOR_S
    ) -> None:
        self._timeout_s = timeout_s
        self._full_for_s = full_for_s
        candidates = protocol.sockets_to_try(os.geteuid())
        self.path = path or next(filter(_has_a_daemon, candidates), protocol.DEFAULT_SOCKET)

    def status(self) -> StatusAnswer:
        """Return the state of the daemon and of every bus."""
        answer: StatusAnswer = self._request("GET", protocol.STATUS)
        return answer

    def reload(self, *, dry_run: bool = False) -> ReloadAnswer:
        """Reload the configuration file, or only check the effect; returns when the changes are in force."""
        answer: ReloadAnswer = self._request("POST", f"{protocol.RELOAD}{'?dry_run=1' if dry_run else ''}")
        return answer

    def control(self, bus: str, verb: Verb) -> VerbAnswer:
        """Start, stop or restart a bus; returns when the bus has settled."""
        answer: VerbAnswer = self._request("POST", protocol.bus_path(bus, verb))
        return answer

    def events(self, *, follow: bool) -> Iterator[LoggedEvent]:
        """Yield the remembered events and, with `follow`, every new event until the caller stops."""
        path = f"{protocol.EVENTS}?follow={int(follow)}"
        with self._answer("GET", path, for_ever=follow) as answer:
            if answer.status != 200:
                _check(answer.status, _object(answer.read()))
            for line in answer.lines():
                if line.startswith(b"data: "):
                    event: Any = _object(line[6:])
                    yield event

    def frames(self, bus: str) -> socket.socket:
        """Return a socket with the packets of a bus, from now on, among them remote and error frames (`FRAMES_TYPE`)."""
        with self._answer("GET", protocol.frames_path(bus), raw=True) as answer:
            if answer.status != 200:
                _check(answer.status, _object(answer.read()))
            return socket.socket(fileno=os.dup(answer.fileno()))

    def _request(self, method: str, path: str) -> Any:
        with self._answer(method, path) as answer:
            found = _object(answer.read())
        _check(answer.status, found)
        return found

    @contextlib.contextmanager
    def _answer(
        self, method: str, path: str, *, for_ever: bool = False, raw: bool = False
    ) -> Iterator[Answer]:
        """Yield the answer; every failure, also while the answer is read, becomes a ControlError.

        `raw`: nothing behind the head has been read from the socket.
        """
        timeout_s = None if for_ever else self._timeout_s
        try:
            with self._asked(method, path, timeout_s, raw=raw) as answer:
                yield answer
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
        except (TimeoutError, BlockingIOError):
            raise ControlError(
                f"{self.path}: cancorderd does not answer. Look into its log (journalctl -u cancorderd).",
                Exit.FAILED,
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            fact = printable(str(error).strip()) or type(error).__name__
            raise ControlError(f"{self.path}: {fact}. Look into the daemon's log.", Exit.FAILED) from error

    @contextlib.contextmanager
    def _asked(self, method: str, path: str, timeout_s: float | None, *, raw: bool) -> Iterator[Answer]:
        """Send a request and yield the answer. A daemon with too many connections is asked again for a while."""
        deadline_s = time.monotonic() + self._full_for_s
        while True:
            try:
                sock = connected(self.path, timeout_s)
            except BlockingIOError:  # so many connections wait that the socket's queue is full
                if time.monotonic() >= deadline_s:
                    raise
            else:
                with sock:
                    send_request(sock, method, path)
                    with contextlib.closing(Answer(sock, raw=raw)) as answer:
                        if "retry-after" not in answer.headers or time.monotonic() >= deadline_s:
                            yield answer
                            return
            time.sleep(_ASK_AGAIN_S)


def _object(text: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer, with printable texts. Raises ValueError and RecursionError."""
    found = _printable(json.loads(text))
    if not isinstance(found, dict):
        fact = f"the answer is {printable(repr(found), 60)}, not a JSON object"
        raise ValueError(fact)  # noqa: TRY004 - as of any other text that is no answer
    return found


def _check(status: int, answer: dict[str, Any]) -> None:
    """Raise ControlError if the daemon has refused the request."""
    reason = printable(str(answer.get("error", answer)))
    if status == 403:
        raise ControlError(f"no permission: {reason}", Exit.NO_PERMISSION)
    if status not in (200, 422):
        raise ControlError(reason, Exit.FAILED)
