"""Loading in a process of its own, which ends with it: pydantic never takes memory of the supervisor.

A file system that does not answer holds up neither the caller nor the end: a thread waits for the process (`loader`), which has
a time limit of its own. A process stays if the kernel cannot end it, and each further attempt would add another, so their
number is limited.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from cancorderd.config.configuration_json import from_json
from cancorderd.config.problem import ConfigurationError, Problem
from cancorderd.file_thread import FileThread, NoAnswer
from cancorderd.python_command import python_command

if TYPE_CHECKING:
    from collections.abc import Collection

    from cancorderd.config.configuration import Configuration
    from cancorderd.file_thread import FileCall

ANSWER_WITHIN_S = 120.0
"""Time for the process to answer, with its start on a slow and busy machine. It reports a file system that does not answer
much earlier."""
_MAX_PROCESSES = 8

_ends: set[FileCall[int]] = set()
"""Waits for the end of processes that may not have ended."""


class LoadProcess:
    """A load that has begun. `path` is loaded as `loading.load` does, which replaces a configuration from the files `in_force`."""

    def __init__(
        self, path: str, in_force: Collection[str] | None = None, within_s: float = ANSWER_WITHIN_S
    ) -> None:
        """Raises ConfigurationError if too many earlier loads are blocked, or no thread is allowed."""
        self._path = path
        self._within_s = within_s
        self._process: subprocess.Popen[bytes] | None = None
        self._given_up = False
        _ends.difference_update([end for end in _ends if end.done])
        if len(_ends) >= _MAX_PROCESSES:
            fact = f"{len(_ends)} earlier attempts to read the configuration still wait for a file system"
            raise ConfigurationError([Problem(path, None, None, fact, "Restart cancorderd.")])
        thread = FileThread()
        try:
            self._answer = thread.submit(partial(self._run, None if in_force is None else sorted(in_force)))
            _ends.add(thread.submit(self._reap))
        except OSError as error:
            self._raise_unreadable(error)

    def wait(self) -> Configuration:
        """Return the configuration. Raises ConfigurationError."""
        try:
            return self._configuration(self._answer.wait(self._within_s))
        except NoAnswer:
            self._give_up()
        except OSError as error:
            self._raise_unreadable(error)

    async def answer(self) -> Configuration:
        """As `wait`, in an event loop. A load that is cancelled ends its process."""
        try:
            return self._configuration(await self._answer.answer(self._within_s))
        except NoAnswer:
            self._give_up()
        except OSError as error:
            self._raise_unreadable(error)
        finally:
            self.end()

    def end(self) -> None:
        """End the process if it has not answered."""
        self._given_up = True
        if self._process and not self._answer.done:
            self._process.kill()

    def _configuration(self, answer: bytes) -> Configuration:
        try:
            return from_json(answer)
        except (TypeError, ValueError, LookupError) as error:  # settings that this version does not have
            fact = "the version of cancorderd on disk is not the one that runs"
            raise ConfigurationError(
                [Problem(self._path, None, None, fact, "Restart cancorderd.")]
            ) from error

    def _give_up(self) -> NoReturn:
        self.end()
        raise ConfigurationError([timed_out(self._path, self._within_s)])

    def _raise_unreadable(self, error: OSError) -> NoReturn:
        fact = error.strerror or str(error)
        raise ConfigurationError([unreadable(self._path, fact)]) from error

    def _run(self, in_force: list[str] | None) -> bytes:
        """Start the process and return its answer, in the thread. Raises OSError and ConfigurationError."""
        ours, theirs = socket.socketpair()
        with ours, theirs, ours.makefile("rwb") as channel:
            theirs.set_inheritable(True)
            command = python_command(
                "cancorderd.config.loader", self._path, "--channel", str(theirs.fileno())
            )
            self._process = _started(command)
            theirs.close()
            if self._given_up:
                self._process.kill()
            answer = b""
            with contextlib.suppress(ConnectionError):
                channel.write(json.dumps(in_force).encode() + b"\n")
                channel.flush()
                answer = channel.readline()
            if not answer.endswith(b"\n"):
                fact = f"process {self._process.pid}, which reads it, has ended without an answer"
                remedy = "Look into the log, and reload."
                raise ConfigurationError([Problem(self._path, None, None, fact, remedy)])
            return answer

    def _reap(self) -> int:
        return self._process.wait() if self._process else 0


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    try:
        # The path may be that of a descriptor (/dev/fd/3), which only this process has.
        return subprocess.Popen(command, close_fds=False, process_group=0)
    except BlockingIOError as error:
        raise OSError(error.errno, "no further process is allowed") from error
    except OSError as error:
        raise OSError(error.errno, f"{command[0]} cannot be started: {error.strerror}") from error


def timed_out(path: str, within_s: float) -> Problem:
    fact = f"reading it and the files that it includes takes longer than {within_s:g} s"
    return Problem(path, None, None, fact, "Look for a file system that does not answer (df, mount).")


def unreadable(path: str, fact: str) -> Problem:
    remedy = "Raise the limit (TasksMax=, ulimit -u, ulimit -v), or end other programs."
    return Problem(path, None, None, f"it cannot be read: {fact}", remedy)


async def load_in_process(path: str, *, in_force: Configuration) -> Configuration:
    """Return the configuration that replaces `in_force`. Raises ConfigurationError."""
    return await LoadProcess(path, in_force.files).answer()
