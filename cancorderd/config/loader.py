"""`python -P -m cancorderd.config.loader FILE --channel N`: loads the configuration for the supervisor, and ends.

N is the inherited descriptor of a socket. A line of JSON comes on it, with the files of the configuration in force or null, and
a line of JSON goes back (`configuration_json`). `load_process` is the other end.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

from cancorderd.config.configuration import Configuration
from cancorderd.config.configuration_json import to_json
from cancorderd.config.load_process import timed_out, unreadable
from cancorderd.config.loading import load
from cancorderd.config.problem import ConfigurationError
from cancorderd.file_thread import FileThread, NoAnswer
from cancorderd.standard_error import print_without_waiting

if TYPE_CHECKING:
    from collections.abc import Collection

LOAD_WITHIN_S = 5.0
"""Time for the file system to answer; the time of computing does not count."""


def load_within(
    path: str, within_s: float = LOAD_WITHIN_S, *, in_force: Collection[str] | None = None
) -> Configuration:
    """Return the configuration that replaces one from the files `in_force`. Raises ConfigurationError, also after `within_s`."""
    before = None if in_force is None else Configuration(files=frozenset(in_force))
    try:
        return FileThread().submit(partial(load, path, in_force=before)).wait(within_s)
    except NoAnswer:
        raise ConfigurationError([timed_out(path, within_s)]) from None
    except OSError as error:
        raise ConfigurationError([unreadable(path, error.strerror or str(error))]) from error


def main(path: str, descriptor: int) -> None:
    print_without_waiting()
    channel = socket.socket(fileno=descriptor)
    with channel.makefile("rb") as request:
        in_force = json.loads(request.readline())
    try:
        answer = to_json(load_within(path, in_force=in_force))
    except ConfigurationError as error:
        answer = to_json(error)
    with contextlib.suppress(ConnectionError):  # the supervisor has ended
        channel.sendall(answer.encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[3]))
    # Not sys.exit: a thread that waits for a file system must not keep the process alive.
    os._exit(0)
