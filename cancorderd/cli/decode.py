"""Names and values for frames, from the databases that cantools reads: DBC, KCD, SYM, ARXML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cantools.database
from cantools.database.namedsignalvalue import NamedSignalValue

from cancorderd.cli.render import printable
from cancorderd.frame import EXTENDED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cantools.database.can.message import Message

    from cancorderd.frame import Frame


_SUFFIXES = (".dbc", ".kcd", ".sym", ".arxml")


class DatabaseUnreadable(Exception):
    """A file that is no such database; `str()` says which, and why."""


class Decoder:
    """Looks frames up by their arbitration id. Where two databases name one, the first counts."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Raises DatabaseUnreadable."""
        self._messages: dict[tuple[int, bool], Message] = {}
        for path in paths:
            for message in _messages(path):
                self._messages.setdefault((message.frame_id, message.is_extended_frame), message)

    def decode(self, frame: Frame) -> dict[str, Any] | None:
        """The name of the message, and its signals with `value`, `unit` and, where values have names, `name`.

        None for an id that no database has. Where the bytes do not fit the message, `error` says so.
        """
        message = self._messages.get((frame.arbitration_id, bool(frame.flags & EXTENDED)))
        if message is None:
            return None
        if message.is_container:
            return {"message": message.name, "error": "containers are not decoded"}
        try:
            values = message.decode_simple(frame.data, allow_truncated=True)
        except Exception as error:  # noqa: BLE001 - libraries of codecs raise many kinds; the dump goes on
            return {"message": message.name, "error": str(error) or type(error).__name__}
        units = {signal.name: signal.unit for signal in message.signals}
        return {
            "message": message.name,
            "signals": {name: _signal(value, units.get(name)) for name, value in values.items()},
        }


def text(decoded: dict[str, Any]) -> str:
    """What follows a line of candump, as cantools decode writes it: ` :: Engine(Speed: 2500.0 rpm, Gear: First)`."""
    if "error" in decoded:
        return f" :: {decoded['message']}: {printable(decoded['error'])}"
    signals = ", ".join(f"{name}: {_words(signal)}" for name, signal in decoded["signals"].items())
    return f" :: {decoded['message']}({printable(signals)})"


def _signal(value: Any, unit: str | None) -> dict[str, Any]:
    named = isinstance(value, NamedSignalValue)
    signal = {"value": value.value if named else value}
    return signal | ({"unit": unit} if unit else {}) | ({"name": value.name} if named else {})


def _words(signal: dict[str, Any]) -> str:
    if "name" in signal:
        return str(signal["name"])
    return f"{signal['value']} {signal['unit']}" if "unit" in signal else f"{signal['value']}"


def _messages(path: str) -> list[Message]:
    if not path.lower().endswith(_SUFFIXES):
        raise DatabaseUnreadable(f"{path}: its name ends in none of {' '.join(_SUFFIXES)}.")
    try:
        database = cantools.database.load_file(path, encoding=_encoding(path))
        messages: list[Message] = database.messages  # type: ignore[union-attr]
    except OSError as error:
        raise DatabaseUnreadable(f"{path}: {error.strerror}. Correct the name of the database.") from error
    except Exception as error:  # whatever a parser comes to by a file that is none
        fact = printable(" ".join(str(error).split())) or type(error).__name__
        raise DatabaseUnreadable(f"{path}: no database of frames that cantools can read. {fact}") from error
    return messages


def _encoding(path: str) -> str | None:
    """Vector's tools write cp1252, which cantools takes for granted; what is UTF-8 hardly is that by chance."""
    with open(path, "rb") as file:
        try:
            file.read().decode()
        except UnicodeDecodeError:
            return None
    return "utf-8"
