"""Signals of frames, by databases (`signal_database`)."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NotRequired, TypedDict

from cantools.database.namedsignalvalue import NamedSignalValue

from cancorderd.printable import error_text, printable
from cancorderd.protocol.frame import ERROR, EXTENDED, REMOTE
from cancorderd.signals.parameter_groups import ParameterGroups
from cancorderd.signals.signal_database import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cancorderd.protocol.frame import Frame
    from cancorderd.signals.signal_database import DatabaseMessage


_LONGEST_NAME = 200


class Signal(TypedDict):
    """Value of a signal in a frame."""

    value: float | str
    unit: NotRequired[str]
    name: NotRequired[str]
    """Name of the value, such as `Reverse` for 15."""


class DecodedFrame(TypedDict):
    """Message of a frame, with its signals or the reason why they cannot be decoded."""

    message: str
    signals: NotRequired[dict[str, Signal]]
    error: NotRequired[str]


class SignalDecoder:
    """Looks frames up by their arbitration id, then by their J1939 parameter group.

    If two databases define an id or a group, the first counts.
    """

    def __init__(self, paths: Iterable[str], *, j1939: bool = False) -> None:
        """If `j1939`, every 29-bit id of the databases is J1939's; else where they say so. Raises DatabaseUnreadable."""
        self.notices: list[str] = []
        """Sentences about databases that are not as they should be."""
        self._messages: dict[tuple[int, bool], DatabaseMessage] = {}
        self._groups: ParameterGroups[DatabaseMessage] = ParameterGroups()
        for path in paths:
            database = load(path)
            self.notices += [database.notice] if database.notice else []
            for found in database.messages:
                message = found.message
                self._messages.setdefault((message.frame_id, message.is_extended_frame), found)
                if found.j1939 or (j1939 and message.is_extended_frame):
                    self._groups.add(message.frame_id, found)

    def decode(self, frame: Frame) -> DecodedFrame | None:
        """Return the message and its signals, or None for an id that no database defines, and for frames without data."""
        if frame.flags & (REMOTE | ERROR):
            return None
        extended = bool(frame.flags & EXTENDED)
        found = self._messages.get((frame.arbitration_id, extended))
        if found is None and extended:
            found = self._groups.find(frame.arbitration_id)
        if found is None:
            return None
        message = found.message
        name = _name(message.name)
        if message.is_container:
            return {"message": name, "error": "containers are not decoded"}
        try:
            values = _values(found, frame.data)
        except Exception as error:  # noqa: BLE001 - libraries of codecs raise many kinds; the dump goes on
            return {"message": name, "error": error_text(error)}
        units = {signal.name: signal.unit for signal in message.signals}
        return {
            "message": name,
            "signals": {_name(key): _signal(value, units.get(key)) for key, value in values.items()},
        }


def _values(found: DatabaseMessage, data: bytes) -> dict[str, NamedSignalValue | float | str]:
    """Return the values of signals that the data have, in the order of the message.

    Of several parts, some may fail: a multiplexer without a meaning concerns the others not.
    """
    if len(found.parts) == 1:
        return dict(found.parts[0].decode_simple(data, allow_truncated=True))
    values: dict[str, NamedSignalValue | float | str] = {}
    failure: Exception | None = None
    for part in found.parts:
        try:
            values = part.decode_simple(data, allow_truncated=True) | values
        except Exception as error:  # noqa: BLE001 - as in `decode`
            failure = error
    if failure and not values:
        raise failure
    return {signal.name: values[signal.name] for signal in found.message.signals if signal.name in values}


@functools.cache
def _name(text: str) -> str:
    """Return a name of a database, printable; cached, since each frame repeats it."""
    return printable(text, _LONGEST_NAME)


def signal_text(decoded: DecodedFrame) -> str:
    """Return the text for the end of a line, as cantools decode writes it: ` :: Engine(Speed: 2500.0 rpm, Gear: First)`."""
    if "error" in decoded:
        return f" :: {decoded['message']}: {decoded['error']}"
    values = decoded.get("signals", {}).items()
    signals = ", ".join(f"{name}: {_value_text(signal)}" for name, signal in values)
    return f" :: {decoded['message']}({signals})"


def _signal(value: NamedSignalValue | float | str, unit: str | None) -> Signal:
    if isinstance(value, NamedSignalValue):
        signal: Signal = {"value": value.value}
        name = _name(value.name)
    else:
        signal, name = {"value": value}, None
    if isinstance(value, float) and not math.isfinite(value):
        signal["value"] = str(value)  # JSON has no such numbers
    if unit:
        signal["unit"] = _name(unit)
    if name is not None:
        signal["name"] = name
    return signal


def _value_text(signal: Signal) -> str:
    if "name" in signal:
        return signal["name"]
    return f"{signal['value']} {signal['unit']}" if "unit" in signal else f"{signal['value']}"
