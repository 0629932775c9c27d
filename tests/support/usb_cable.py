"""An emulated gs_usb adapter for another process, such as a worker: its libusb (usb_cable.c) is connected to this one."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.fake_libusb import compiler
from tests.support.gs_usb_adapter import EmulatedGsUsb

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).with_name("usb_cable.c")
_PORT = 9
_BUFFER = 1 << 22
"""Bytes of records on the way to a host that does not read for a moment."""
_LOOK_S = 0.05


@contextlib.contextmanager
def connected_libusb(folder: Path, cable: Path) -> Iterator[None]:
    """Let the programs that start meanwhile use the stand-in for libusb, with the adapter at `cable`."""
    library = folder / "libusb-1.0.so.0"
    command = [
        compiler() or "cc", "-O2", "-shared", "-fPIC", "-Wl,-soname,libusb-1.0.so.0", "-o", str(library), str(SOURCE),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    shutil.copy(library, folder / "libusb-1.0.so")
    before = {key: os.environ.get(key) for key in ("LD_LIBRARY_PATH", "USB_CABLE")}
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, [str(folder), before["LD_LIBRARY_PATH"]]))
    os.environ["USB_CABLE"] = str(cable)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


class CabledGsUsb(EmulatedGsUsb):
    """An adapter that a single program at a time can open, while it is plugged in; its thread answers."""

    def __init__(self, cable: Path, **about: Any) -> None:
        super().__init__(**about)
        self._path = cable
        self._listener: socket.socket | None = None
        self._host: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._addresses = 0
        self.handed = 0
        """Records that were handed to the host."""

    @property
    def plugged(self) -> bool:
        return self._listener is not None

    @property
    def started(self) -> bool:
        """Whether the host has started the first channel."""
        return self._host is not None and self.channels[0].started

    def plug(self) -> None:
        self._addresses = self._addresses % 100 + 1
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self._path))
        listener.listen()
        self._listener = listener
        self._thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        with self._lock:
            listener, self._listener = self._listener, None
            if listener is None:
                return
            self._path.unlink()
            self._disconnect()
            self._unplugged()
        if self._thread:
            self._thread.join()
        listener.close()

    def _serve(self, listener: socket.socket) -> None:
        while self._listener is listener:
            host = self._host
            readable, _, _ = select.select([host or listener], [], [], _LOOK_S)
            with self._lock:
                if self._listener is not listener:
                    return
                if not readable:
                    self._pump()
                elif host is None:
                    self._accept(listener)
                else:
                    self._answer(host)

    def _accept(self, listener: socket.socket) -> None:
        self._host, _ = listener.accept()
        self._host.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        descriptor = self.descriptor(1)
        assert descriptor
        self._host.send(b"D" + bytes([_PORT, self._addresses]) + descriptor)

    def _answer(self, host: socket.socket) -> None:
        """Answer a request, or take note that the program is gone."""
        try:
            request = host.recv(512)
        except OSError:
            request = b""
        if not request:
            self._disconnect()
            return
        answer = self.control(request[1:9], request[9:])
        host.send(b"A\0" if answer is None else b"A\1" + answer)

    def _disconnect(self) -> None:
        host, self._host = self._host, None
        if host:
            host.close()

    def _pump(self) -> None:
        while self._fifo and self._host and not self.stalled:
            try:
                self._host.send(b"R" + self._fifo[0], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                return  # the program is gone; its requests end, too
            self._fifo.popleft()
            self.handed += 1
