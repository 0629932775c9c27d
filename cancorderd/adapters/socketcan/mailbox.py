"""Many messages in a system call: recvmmsg(2), which CPython's socket module lacks."""

from __future__ import annotations

import ctypes
import errno
import os
from struct import Struct

_MSG_DONTWAIT = 0x40


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iovec", ctypes.POINTER(_Iovec)),
        ("iovec_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("message", _Msghdr), ("received", ctypes.c_uint))


class Mailbox:
    """Slots for messages and their control messages, and the recvmmsg(2) that fills them."""

    def __init__(self, slots: int, data_bytes: int, control_bytes: int) -> None:
        self._slots = slots
        self._data = (ctypes.c_char * (slots * data_bytes))()
        self._controls = (ctypes.c_char * (slots * control_bytes))()
        self._iovecs = (_Iovec * slots)()
        self._headers = (_Mmsghdr * slots)()
        data_at, controls_at = ctypes.addressof(self._data), ctypes.addressof(self._controls)
        for index in range(slots):
            iovec, message = self._iovecs[index], self._headers[index].message
            iovec.base, iovec.length = data_at + index * data_bytes, data_bytes
            message.iovec, message.iovec_count = ctypes.pointer(iovec), 1
            message.control, message.control_length = controls_at + index * control_bytes, control_bytes
        self.data = memoryview(self._data).cast("B")
        """Slot after slot; the rest of a slot behind a shorter message still holds older bytes."""
        self.controls = memoryview(self._controls).cast("B")
        # recvmmsg overwrites lengths in the headers, so they are restored from this copy before each call.
        self._fresh = bytes(self._headers)
        self._headers_view = memoryview(self._headers).cast("B")
        self._received = Struct(f"@{_Mmsghdr.received.offset}xI0N")
        flags_at = _Mmsghdr.message.offset + _Msghdr.flags.offset
        self._flags = Struct(f"@{flags_at}xi{ctypes.sizeof(_Mmsghdr) - flags_at - 4}x")
        self._recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._used = slots

    def fill(self, descriptor: int) -> list[int]:
        """Receive the messages that have arrived; return their lengths. Never waits. Raises OSError."""
        stale = self._used * ctypes.sizeof(_Mmsghdr)
        self._headers_view[:stale] = self._fresh[:stale]
        self._used = 0
        count = self._recvmmsg(descriptor, self._headers, self._slots, _MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(number, os.strerror(number))
        self._used = count
        headers = self._headers_view[: count * ctypes.sizeof(_Mmsghdr)]
        return [received for (received,) in self._received.iter_unpack(headers)]

    def flags(self) -> list[int]:
        """Return the flags of the messages that were received last (MSG_DONTROUTE, MSG_CONFIRM)."""
        headers = self._headers_view[: self._used * ctypes.sizeof(_Mmsghdr)]
        return [flags for (flags,) in self._flags.iter_unpack(headers)]
