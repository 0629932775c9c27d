"""slcan: serial adapters that speak the LAWICEL ASCII protocol, through a serial port."""

from __future__ import annotations

import contextlib
import math
import os
import select
import time
from typing import TYPE_CHECKING

from cancorderd.adapters.base import BaseSource
from cancorderd.adapters.failures import BusError
from cancorderd.adapters.filters import acceptance
from cancorderd.adapters.slcan.commands import setup_commands
from cancorderd.adapters.slcan.decoder import OVERRUN_FLAGS, SlcanDecoder, controller_state
from cancorderd.adapters.slcan.replies import is_closed
from cancorderd.adapters.slcan.serial_port import open_port, port_with_serial
from cancorderd.adapters.slcan.setup import SetUp
from cancorderd.host_clock import clocks_us
from cancorderd.protocol.batch import EMPTY_BATCH, Batch

if TYPE_CHECKING:
    from cancorderd.adapters.slcan.settings import SlcanSettings

_READ_BYTES = 1 << 14
"""A terminal buffers 4 KiB (N_TTY_BUF_SIZE in n_tty.c); a larger buffer costs more to allocate than the read itself."""
_QUIET_S = 0.03
"""A longer pause is the end of the stream; USB delivers within a millisecond."""
_STOP_S = 0.1
"""Time to stop sending for an adapter that does not answer commands."""
_ANSWER_S = 0.5
"""The same for an adapter that does: it may be busy, and sends frames until it reads the command. Firmware that does
not stop at all is not worth a longer pause."""
_FLAGS_EVERY_S = 1.0
_CLOSED_AFTER = 2
"""Refusals of F in a row that mean, after answers to F, that the channel is closed: the adapter has started again."""


class SlcanSource(BaseSource):
    """A serial adapter. pyserial sets the port up; reads go straight to its descriptor."""

    def __init__(self, settings: SlcanSettings) -> None:
        super().__init__()
        self._commands = setup_commands(settings)
        self._channel = settings.channel or port_with_serial(settings.serial or "")
        self._decoder = SlcanDecoder(acceptance(settings.filters))
        self._port = open_port(self._channel, settings.tty_baudrate)
        self._descriptor: int = self._port.fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._asks_flags = True
        self._flags_asked = False
        self._flags_known = False
        self._flags_refused = 0
        self._next_look_s = 0.0
        self._pending = b""
        self._failure: BusError | None = None
        """Raised when the bytes that arrived before it have been read."""
        self._set_up: SetUp | None = None
        self._begin_set_up(time.monotonic())

    def fileno(self) -> int:
        return self._descriptor

    def due(self, now_s: float) -> float | None:
        if self._pending or self._failure:
            return 0.0
        return (self._set_up.due_s if self._set_up else self._next_look_s) - now_s

    def read(self, now_s: float) -> Batch:
        batch = EMPTY_BATCH
        text = self._pending + self._arrived()
        self._pending = b""
        if self._set_up:
            arrived, text = text, self._go_on_setting_up(self._set_up, text, now_s)
        else:
            arrived = text
        if text:
            batch = self._decode(text)
            self.error_frames = self._decoder.malformed
            self.remote_frames = self._decoder.remote_frames
            if self._decoder.unusable_stamps:
                self.details["unusable_stamps"] = str(self._decoder.unusable_stamps)
            if self._decoder.answers or self._decoder.refusals:
                self._handle_answers(now_s)
        if now_s >= self._next_look_s and not (self._failure or self._set_up):
            try:
                self._ask_flags(now_s)
            except BusError as error:
                self._failure = error
        if self._failure and not arrived:
            raise self._failure
        return batch

    def _decode(self, text: bytes) -> Batch:
        decoder = self._decoder
        decoder.internal = self.internal
        clock = decoder.clock
        if not clock.used:
            batch = decoder.decode(text, time.time_ns() // 1000)
            if not clock.used:  # the adapter sends no stamps: there is no clock to check
                return batch
            now_us, monotonic_us = clocks_us()
            clock.observe_host(now_us, monotonic_us)
        else:
            now_us, monotonic_us = clocks_us()
            clock.observe_host(now_us, monotonic_us)
            batch = decoder.decode(text, now_us)
        batch = clock.checked(batch, now_us, monotonic_us)
        if clock.fault:
            self.report_clock(self._channel, clock.fault)
        return batch

    def stop(self) -> None:
        """Close the channel; the adapter's answer follows its last frame."""
        answers = self._set_up is None and "unacknowledged" not in self.details
        self._next_look_s = math.inf
        self._set_up = None
        with contextlib.suppress(BusError):
            self._write(b"C\r")
            self._read_until_quiet(answers=answers)

    def close(self) -> None:
        if self._port.is_open:
            with contextlib.suppress(Exception):
                os.write(self._descriptor, b"C\r")
                self._port.close()

    def _begin_set_up(self, now_s: float) -> None:
        self._set_up = SetUp(self._commands, self._channel, now_s)
        self._next_look_s = now_s
        self.waiting = self._set_up.waiting(now_s)
        self.setting_up = self.proving = True

    def _go_on_setting_up(self, set_up: SetUp, text: bytes, now_s: float) -> bytes:
        """Return the bytes that belong to the stream of the open channel."""
        to_send, stream = set_up.step(text, now_s)
        if to_send and not self._failure:
            try:
                self._write(to_send)
            except BusError as error:
                self._failure = error
        self.waiting = set_up.waiting(now_s)
        self.setting_up = set_up.usual(now_s)
        self.proving = set_up.goes_on
        self.details.update(set_up.details)
        if set_up.proved:
            if "unacknowledged" not in set_up.details:
                self.details.pop("unacknowledged", None)
            self._set_up = None
        return stream

    def _read_until_quiet(self, *, answers: bool) -> None:
        """Read the last frames of an adapter that was told to close, and its answer if it `answers` commands."""
        deadline_s = time.monotonic() + (_ANSWER_S if answers else _STOP_S)
        patience_s = _ANSWER_S if answers else _STOP_S
        while time.monotonic() < deadline_s and self._poll.poll(1000 * patience_s):
            self._pending += self._read_port()
            stopped = not answers or is_closed(self._pending)
            patience_s = _QUIET_S if stopped else max(0.0, deadline_s - time.monotonic())

    def _ask_flags(self, now_s: float) -> None:
        """Ask for the status flags. Called once a second."""
        self._next_look_s = now_s + _FLAGS_EVERY_S
        if self._asks_flags:
            # An adapter that ignored the last F does not know the command.
            self._asks_flags = not self._flags_asked
            self._flags_asked = self._asks_flags
            if self._asks_flags:
                self._write(b"F\r")

    def _handle_answers(self, now_s: float) -> None:
        for answer in self._decoder.answers:
            if answer[:1] == b"F":
                self._flags_asked = False
                with contextlib.suppress(ValueError):
                    flags = int(answer[1:], 16)
                    self._flags_known, self._flags_refused = True, 0
                    self.controller = controller_state(flags)
                    self.lost_adapter += (flags & OVERRUN_FLAGS).bit_count()
        self._decoder.answers = []
        if self._decoder.refusals and self._flags_asked:
            self._flags_asked = False
            self._decoder.refusals -= 1
            self._flags_refused += 1
            self._asks_flags = self._flags_known
        if self._decoder.refusals:
            self.details["refusals"] = str(int(self.details.get("refusals", "0")) + self._decoder.refusals)
            self._decoder.refusals = 0
        if self._flags_refused >= _CLOSED_AFTER and not self._set_up:
            self._flags_refused = 0
            self.notices.append(("warning", f"{self._channel} has started again: it is set up once more."))
            self._begin_set_up(now_s)

    def _arrived(self) -> bytes:
        """Return the bytes that have arrived; a failure is kept until they have been decoded."""
        if self._failure is None:
            try:
                return self._read_port()
            except BusError as error:
                self._failure = error
        return b""

    def _read_port(self) -> bytes:
        """Return the bytes that have arrived. Raises BusError at the end of the file: the adapter is gone.

        pyserial sets VMIN to 0, so a terminal without input reads as empty, just as a terminal that hung up. Only
        the latter polls as readable all the same (termios(3), tty_ioctl(2)).
        """
        try:
            text = os.read(self._descriptor, _READ_BYTES)
            if text:
                return text
            if self._poll.poll(0) and not (text := os.read(self._descriptor, _READ_BYTES)):
                raise BusError(f"{self._channel}: end of file: the adapter is gone.")
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        return text

    def _write(self, data: bytes) -> None:
        try:
            os.write(self._descriptor, data)
        except BlockingIOError:
            pass  # the adapter accepts nothing now; the flags are asked for again in a second
        except OSError as error:
            raise self._gone(error) from error

    def _gone(self, error: OSError) -> BusError:
        return BusError(f"{self._channel}: {os.strerror(error.errno or 0)}: the adapter is gone.")
