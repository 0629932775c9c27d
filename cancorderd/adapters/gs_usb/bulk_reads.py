"""Many bulk reads at once, through libusb's asynchronous interface, without a thread.

pyusb reads one transfer at a time: between two of them a full-speed adapter has nowhere to put its next
frame, and each costs several system calls. Here the adapter always has `_DEPTH` transfers to fill, as with the
kernel's driver, and one call collects all that are filled. An epoll descriptor (or the system's equivalent) bundles
libusb's descriptors for the worker's selector.
"""

from __future__ import annotations

import contextlib
import ctypes
import selectors
import time
from typing import Any

_DEPTH = 256
"""At one frame in each transfer, 28 ms of a full 1 Mbit/s bus. Fewer are used if the system grants fewer."""
_AT_ONCE = 25
"""Transfers that libusb completes per call; some versions complete all that are ready."""
_CANCEL_S = 0.5

_BULK = 2
_COMPLETED = 0
_NO_DEVICE = 5
_STATUS = {1: "transfer error", 2: "time out", 3: "cancelled", 4: "endpoint stalled", 6: "overflow"}
"""enum libusb_transfer_status."""
_ERROR_NO_DEVICE = -4
_POLLOUT = 4

_Pointer = ctypes.c_void_p


class _Transfer(ctypes.Structure):
    """The part of struct libusb_transfer that bulk transfers use."""

    _fields_ = (
        ("handle", _Pointer),
        ("flags", ctypes.c_uint8),
        ("endpoint", ctypes.c_uint8),
        ("type", ctypes.c_uint8),
        ("timeout", ctypes.c_uint),
        ("status", ctypes.c_int),
        ("length", ctypes.c_int),
        ("actual_length", ctypes.c_int),
        ("callback", _Pointer),
        ("user_data", _Pointer),
        ("buffer", _Pointer),
        ("iso_packets", ctypes.c_int),
    )


class _PollDescriptor(ctypes.Structure):
    _fields_ = (("descriptor", ctypes.c_int), ("events", ctypes.c_short))


class _Timeval(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("microseconds", ctypes.c_long))


_NO_TIME = ctypes.pointer(_Timeval())
_CALLBACK = ctypes.CFUNCTYPE(None, _Pointer)
_ABANDONED: list[Any] = []
"""Buffers that a driver may still write to, since it has not returned their transfers."""


class StreamEnded(Exception):
    """No more transfers will be filled; `gone` if the device is."""

    def __init__(self, reason: str, *, gone: bool) -> None:
        super().__init__(reason)
        self.gone = gone


class BulkReads:
    """Reads of a bulk endpoint that are always under way. The owner calls `close`."""

    def __init__(self, lib: ctypes.CDLL, context: int | None, handle: int, endpoint: int, size: int) -> None:
        """Submit the first transfers, of `size` bytes each.

        `lib` is libusb, `handle` an open device whose interface is claimed. Raises StreamEnded if the device accepts
        no transfer at all.
        """
        self._context = context
        self._libusb = _Functions(lib)
        self._done: list[int] = []
        self._callback = _CALLBACK(self._done.append)
        self._buffer = ctypes.create_string_buffer(_DEPTH * size)
        self._slots: dict[int, tuple[_Transfer, memoryview]] = {}
        self._in_flight = 0
        self._end: StreamEnded | None = None
        view = memoryview(self._buffer).cast("B")
        for index in range(_DEPTH):
            address = self._libusb.alloc_transfer(0)
            transfer = _Transfer.from_address(address)
            transfer.handle, transfer.endpoint, transfer.type = handle, endpoint, _BULK
            transfer.callback = ctypes.cast(self._callback, _Pointer).value
            transfer.buffer, transfer.length = ctypes.addressof(self._buffer) + index * size, size
            self._slots[address] = (transfer, view[index * size : (index + 1) * size])
            if self._libusb.submit_transfer(address):
                break  # the system's limit for transfers is reached, or there is no device and all fail
            self._in_flight += 1
        self._selector = selectors.DefaultSelector()
        self._watch()
        if not self._in_flight:
            self.close()
            raise StreamEnded("the adapter accepts no transfers", gone=False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when `collect` has something to do."""
        selector: Any = (
            self._selector
        )  # epoll and kqueue have a descriptor, though their common base has none
        return int(selector.fileno())

    @property
    def ready(self) -> bool:
        """True if `collect` has something to do although nothing is readable."""
        return bool(self._done) or self._end is not None

    def collect(self) -> list[bytes]:
        """Return the data of each transfer filled since the last call, and submit it again. Never waits.

        Raises StreamEnded once the data from before the end has been collected.
        """
        done = self._done
        before = len(done)
        self._libusb.handle_events(self._context, _NO_TIME, None)
        while len(done) - before >= _AT_ONCE and len(done) < _DEPTH:
            before = len(done)
            self._libusb.handle_events(self._context, _NO_TIME, None)
        if not done and self._end:
            raise self._end
        collected = []
        for address in done:
            transfer, slot = self._slots[address]
            if transfer.status == _COMPLETED:
                collected.append(bytes(slot[: transfer.actual_length]))
                if not self._end and (code := self._libusb.submit_transfer(address)):
                    self._end = StreamEnded(f"libusb error {code}", gone=code == _ERROR_NO_DEVICE)
                    self._in_flight -= 1
            else:
                self._in_flight -= 1
                status = transfer.status
                self._end = self._end or StreamEnded(
                    _STATUS.get(status, f"status {status}"), gone=status == _NO_DEVICE
                )
        done.clear()
        return collected

    def drain(self, quiet_s: float) -> list[bytes]:
        """Return data until none has arrived for `quiet_s`, or for ten times that at most."""
        drained: list[bytes] = []
        now_s = time.monotonic()
        last, end = now_s + quiet_s, now_s + 10 * quiet_s
        with contextlib.suppress(StreamEnded):
            while (now_s := time.monotonic()) < min(last, end):
                self._selector.select(min(last, end) - now_s)
                if collected := self.collect():
                    drained += collected
                    last = time.monotonic() + quiet_s
        return drained

    def close(self) -> None:
        """Cancel the transfers and free them. Safe to call twice; raises nothing."""
        self._end = self._end or StreamEnded("closed", gone=False)
        for address in self._slots:
            self._libusb.cancel_transfer(address)
        deadline = time.monotonic() + _CANCEL_S
        while self._in_flight > len(self._done) and time.monotonic() < deadline:
            self._libusb.handle_events(self._context, ctypes.byref(_Timeval(0, 20_000)), None)
        self._in_flight -= len(self._done)
        self._done.clear()
        if self._in_flight:
            _ABANDONED.append((self._buffer, self._callback))
        else:
            for address in self._slots:
                self._libusb.free_transfer(address)
        self._slots = {}
        self._selector.close()

    def _watch(self) -> None:
        """Bundle libusb's descriptors. On Linux a device's descriptor is writable when a transfer is done."""
        listed = self._libusb.get_pollfds(self._context)
        found = ctypes.cast(listed, ctypes.POINTER(ctypes.POINTER(_PollDescriptor)))
        index = 0
        while found[index]:
            polled = found[index].contents
            events = selectors.EVENT_WRITE if polled.events & _POLLOUT else selectors.EVENT_READ
            self._selector.register(polled.descriptor, events)
            index += 1
        self._libusb.free_pollfds(listed)


class _Functions:
    """Functions of libusb that pyusb lacks, or has with types of its own."""

    def __init__(self, lib: ctypes.CDLL) -> None:
        def function(name: str, result: Any, *arguments: Any) -> Any:
            # Not lib.name: that object is shared by all its users, and pyusb sets other types on it.
            return ctypes.CFUNCTYPE(result, *arguments)((f"libusb_{name}", lib))

        self.alloc_transfer = function("alloc_transfer", _Pointer, ctypes.c_int)
        self.free_transfer = function("free_transfer", None, _Pointer)
        self.submit_transfer = function("submit_transfer", ctypes.c_int, _Pointer)
        self.cancel_transfer = function("cancel_transfer", ctypes.c_int, _Pointer)
        self.get_pollfds = function("get_pollfds", _Pointer, _Pointer)
        self.free_pollfds = function("free_pollfds", None, _Pointer)
        self.handle_events = function(
            "handle_events_timeout_completed",
            ctypes.c_int,
            _Pointer,
            ctypes.POINTER(_Timeval),
            ctypes.POINTER(ctypes.c_int),
        )
