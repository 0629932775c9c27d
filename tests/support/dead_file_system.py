"""A file system that can stop answering, as one on the network whose server is gone: FUSE with a server of our own.

It is one empty folder that passes nothing on: every operation but those of mounting finds no file, or is refused, until
`stop_answering`; from then on, whoever uses the folder waits. Needs root and /dev/fuse (linux/fuse.h).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

AVAILABLE = os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK)
_REQUEST_HEAD = struct.Struct("=IIQQIIII")
_GETATTR, _INIT = 3, 26
_FORGET = (2, 42)
"""Requests that want no answer."""
_ROOT = struct.pack("=6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
"""struct fuse_attr of the folder."""
_MNT_DETACH = 2


@contextlib.contextmanager
def dead_file_system(folder: Path) -> Iterator[DeadFileSystem]:
    """Mount such a file system over a folder; at the end, whoever waits gets an error."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"dead", bytes(folder), b"fuse", 0, options.encode()):
        os.close(device)
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    served = DeadFileSystem(device)
    try:
        yield served
    finally:
        served.close()
        libc.umount2(bytes(folder), _MNT_DETACH)


class DeadFileSystem:
    """The server's end of the mounted folder."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._end, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop_answering(self) -> None:
        """Read no request any more. A process that waits can be killed, as with NFS, for its request is not begun."""
        if self._thread.is_alive():
            os.write(self._wake, b"\0")
            self._thread.join()

    def is_waited_for(self) -> bool:
        """Return whether there is a request, after `stop_answering`."""
        poll = select.poll()
        poll.register(self._device, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Let whoever waits fail: the kernel ends all requests when the server closes the device."""
        self.stop_answering()
        for descriptor in (self._device, self._end, self._wake):
            os.close(descriptor)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._device, select.POLLIN)
        poll.register(self._end, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._end in ready:
                return
            with contextlib.suppress(OSError):
                self._answer(os.read(self._device, 1 << 18))

    def _answer(self, request: bytes) -> None:
        _, operation, unique, *_ = _REQUEST_HEAD.unpack_from(request)
        if operation in _FORGET:
            return
        if operation == _INIT:
            self._reply(unique, struct.pack("=4I2H2I2H8I", 7, 31, 0, 0, 0, 0, 1 << 17, 1, *[0] * 10))
        elif operation == _GETATTR:
            self._reply(unique, struct.pack("=QII", 0, 0, 0) + _ROOT)
        else:
            self._reply(unique, b"", -errno.ENOENT)

    def _reply(self, unique: int, data: bytes, error: int = 0) -> None:
        os.write(self._device, struct.pack("=IiQ", 16 + len(data), error, unique) + data)
