"""Lack of descriptors, in this process and in others, and descriptors with high numbers."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def free_descriptors(count: int) -> Iterator[None]:
    """Leave this process exactly `count` descriptors that are free."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = [os.open(os.devnull, os.O_RDONLY)]
    try:
        # Fill the gaps, so that the free descriptors are those between the highest in use and the limit.
        highest = max(map(int, os.listdir("/dev/fd")))
        while used[-1] < highest:
            used.append(os.open(os.devnull, os.O_RDONLY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used[-1] + 1 + count, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in used:
            os.close(descriptor)


@contextlib.contextmanager
def low_descriptors_in_use(up_to: int = 1100) -> Iterator[None]:
    """Use every descriptor up to `up_to`, so that new ones are higher. `select.select` takes none above 1023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, up_to + 200), hard))
    used = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while used[-1] < up_to:
            used.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in used:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def limited(process: int, descriptors: int) -> Iterator[None]:
    """Limit the descriptors of a process that runs to those that it has and `descriptors` more."""
    before = resource.prlimit(process, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{process}/fd")}
    # The limit is that of the numbers, and the sockets of clients have high ones.
    free = itertools.islice((number for number in itertools.count() if number not in used), descriptors + 1)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (list(free)[-1], before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process, resource.RLIMIT_NOFILE, before)
