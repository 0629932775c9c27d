"""slcan: serial adapters that speak the LAWICEL ASCII protocol (`slcan_text`), through a serial port."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios
import time
from typing import TYPE_CHECKING

import serial
from serial.tools.list_ports import comports

from cancorderd.errors import AdapterAbsent, BusError, SettingsRefused
from cancorderd.frame import NOTHING, Batch
from cancorderd.sources import permission
from cancorderd.sources.base import Counted
from cancorderd.sources.filters import acceptance
from cancorderd.sources.slcan_text import BEL, CR, OVERRUN_FLAGS, Decoder, commands, controller_state

if TYPE_CHECKING:
    from cancorderd.config.model import SlcanBus

_READ_BYTES = 1 << 16
_ANSWER_S = 0.3
"""An adapter answers within a few milliseconds; one that takes longer does not answer at all."""
_QUIET_S = 0.03
"""A pause in the answers longer than this is their end; USB delivers within a millisecond."""
_RETRY_S = 2.0
"""Boards that reset when their port is opened are deaf for up to this long."""
_FLAGS_EVERY_S = 1.0
_QUESTIONS = {b"V": "version", b"N": "serial"}
"""Commands whose answers are shown, by what they are shown as."""


def open_source(section: SlcanBus) -> SlcanSource:
    return SlcanSource(section)


class SlcanSource(Counted):
    """One serial adapter. pyserial sets the port up; reads go straight to its descriptor."""

    def __init__(self, section: SlcanBus) -> None:
        super().__init__()
        self._commands = commands(section)
        self._channel = section.channel or port_with_serial(section.serial or "")
        self._decoder = Decoder(acceptance(section.filters))
        self._port = _open_port(self._channel, section.tty_baudrate)
        self._descriptor: int = self._port.fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._heard = False
        self._asks_flags = True
        self._flags_asked = False
        try:
            self._pending = self._set_up()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        return self._descriptor

    def due(self, now_s: float) -> float | None:
        return 0.0 if self._pending else max(0.0, self._next_look_s - now_s)

    def read(self, now_s: float) -> Batch:
        batch = NOTHING
        if text := self._pending + self._read_port():
            self._pending = b""
            if not self._heard:
                self._heard = True
                if BEL in text:  # it woke up late and refuses something: find out what
                    text = self._set_up()
            batch = self._decoder.decode(text, time.time_ns() // 1000)
            self.error_frames = self._decoder.malformed
            self.remote_frames = self._decoder.remote
            if self._decoder.answers or self._decoder.refusals:
                self._take_answers()
        if now_s >= self._next_look_s:
            self._look_after(now_s)
        return batch

    def close(self) -> None:
        if self._port.is_open:
            with contextlib.suppress(Exception):
                os.write(self._descriptor, b"C\r")
                self._port.close()

    def _set_up(self) -> bytes:
        """Close, set and open the adapter; returns what arrived behind the last answer.

        An adapter that answers nothing is taken at that: some firmware never does.
        """
        self._next_look_s = time.monotonic() + _RETRY_S
        # The first C ends whatever half a command the adapter still holds (an empty line would make some
        # firmware repeat its last transmission). Whether it says yes or no matters not: wait until it has
        # said so, or the next answer is mistaken.
        self._write(b"C\rC\r")
        self._wait_for_quiet()
        mute = False
        answer = b""
        for text, required in self._commands:
            if mute:
                if required:
                    self._write(text + CR)
                continue
            answer = self._ask(text)
            if BEL in answer and CR not in answer and required:
                raise SettingsRefused(
                    f"the adapter at {self._channel} refuses {text.decode()} ({_meaning(text)}). "
                    "Use another setting, or check its firmware."
                )
            mute = required and not answer
            if text in _QUESTIONS and answer.startswith(text):
                self.details[_QUESTIONS[text]] = answer[1:].partition(CR)[0].decode("ascii", "replace")
        if mute:
            return b""
        self._heard = True
        return answer[answer.index(CR) + 1 :] if CR in answer else b""

    def _ask(self, command: bytes) -> bytes:
        """Send one command; what arrived up to and behind its answer, or nothing where none came."""
        self._write(command + CR)
        text = b""
        deadline = time.monotonic() + _ANSWER_S
        while CR not in text and BEL not in text and (left := deadline - time.monotonic()) > 0:
            if select.select([self._descriptor], [], [], left)[0]:
                text += self._read_port()
        return text

    def _wait_for_quiet(self) -> None:
        """Discard what comes until nothing does: the rest of a stream, and answers that are of no interest."""
        deadline = time.monotonic() + _ANSWER_S
        patience_s = _ANSWER_S
        while time.monotonic() < deadline and select.select([self._descriptor], [], [], patience_s)[0]:
            self._read_port()
            patience_s = _QUIET_S

    def _look_after(self, now_s: float) -> None:
        """Once a second: ask for the status flags; as long as nothing was ever heard, set up again."""
        if not self._heard:
            # Without waiting: a bus may be silent for long, and firmware mute by design.
            self._next_look_s = now_s + _RETRY_S
            self._write(CR.join((b"C\rC", *(text for text, required in self._commands if required), b"")))
            return
        self._next_look_s = now_s + _FLAGS_EVERY_S
        if self._asks_flags:
            # An adapter that let the last question pass does not know the command.
            self._asks_flags = not self._flags_asked
            self._flags_asked = self._asks_flags
            if self._asks_flags:
                self._write(b"F\r")

    def _take_answers(self) -> None:
        for answer in self._decoder.answers:
            if answer[:1] == b"F":
                self._flags_asked = False
                with contextlib.suppress(ValueError):
                    flags = int(answer[1:], 16)
                    self.controller = controller_state(flags)
                    self.lost_adapter += (flags & OVERRUN_FLAGS).bit_count()
        self._decoder.answers = []
        if self._decoder.refusals:
            if self._flags_asked:
                self._asks_flags = False
                self._flags_asked = False
                self._decoder.refusals -= 1
            self.details["refusals"] = str(int(self.details.get("refusals", "0")) + self._decoder.refusals)
            self._decoder.refusals = 0

    def _read_port(self) -> bytes:
        """What has arrived. Raises BusError at the end of the file: the adapter is gone.

        pyserial sets VMIN to 0, so a terminal without input says "nothing" just as one that hung up;
        only the latter is readable all the same (termios(3), tty_ioctl(2)).
        """
        try:
            text = os.read(self._descriptor, _READ_BYTES)
            if not text and self._poll.poll(0) and not (text := os.read(self._descriptor, _READ_BYTES)):
                raise BusError(f"{self._channel}: end of file: the adapter is gone.")
        except BlockingIOError:
            return b""
        except OSError as error:
            raise BusError(
                f"{self._channel}: {os.strerror(error.errno or 0)}: the adapter is gone."
            ) from error
        return text

    def _write(self, data: bytes) -> None:
        try:
            os.write(self._descriptor, data)
        except BlockingIOError:
            pass  # the adapter takes nothing now; the flags are asked for again in a second
        except OSError as error:
            raise BusError(
                f"{self._channel}: {os.strerror(error.errno or 0)}: the adapter is gone."
            ) from error


def _meaning(command: bytes) -> str:
    return {b"S": "bitrate", b"s": "btr", b"Y": "data_bitrate", b"L": "listen_only"}.get(command[:1], "open")


def port_with_serial(number: str) -> str:
    """The serial port of the USB adapter with this serial number. Raises AdapterAbsent where there is none."""
    found = [one.device for one in comports() if one.serial_number == number]
    if not found:
        others = sorted({one.serial_number for one in comports() if one.serial_number})
        raise AdapterAbsent(
            f"no serial port has the serial number {number} (there are: {', '.join(others) or 'none'}). "
            "Plug the adapter in, or correct serial."
        )
    return str(found[0])


def _open_port(channel: str, tty_baudrate: int) -> serial.Serial:
    try:
        port = serial.serial_for_url(
            channel, baudrate=tty_baudrate, timeout=0, write_timeout=0, exclusive=True
        )
    except serial.SerialException as error:
        raise _why_not_open(channel, error) from error
    except ValueError as error:
        raise SettingsRefused(f"{channel}: {error}") from error
    os.set_blocking(port.fileno(), False)
    return port


def _why_not_open(channel: str, error: OSError) -> Exception:
    number = error.errno
    if number is None and isinstance(error.__context__, termios.error):  # pyserial keeps its text alone
        number = error.__context__.args[0]
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return AdapterAbsent(f"{channel} does not exist. Plug the adapter in, or correct channel.")
    if number in (errno.EACCES, errno.EPERM):
        return AdapterAbsent(permission.remedy(channel))
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        return BusError(
            f"{channel} is in use by another program. End that program, or choose another channel."
        )
    if number in (errno.ENOTTY, errno.EINVAL):
        return SettingsRefused(f"{channel} is no serial port. Correct channel.")
    return BusError(f"{channel}: {error}")
