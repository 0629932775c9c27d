"""Files of messages and signals that cantools reads (DBC, KCD, SYM, ARXML), as far as they can be used."""

from __future__ import annotations

import codecs
import logging
import os
import re
from typing import TYPE_CHECKING, NamedTuple

import cantools.database
from cantools.database.can.message import Message
from cantools.database.errors import Error

from cancorderd.config.value_checks import DATABASE_SUFFIXES
from cancorderd.hidden_folders import remedy_if_hidden
from cancorderd.printable import error_text
from cancorderd.signals.dbc_repair import DbcRepair

if TYPE_CHECKING:
    from cantools.database.can import Database
    from cantools.database.can.signal import Signal


_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_XML_ENCODING = re.compile(rb"""<\?xml[^>]{0,100}\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_PADDING = "\0\x1a\r\n\t "
"""What old editors leave at the end of a file: Ctrl+Z and NUL bytes."""
_J1939 = "j1939"

# cantools warns of messages that repeat an id; here, the first counts.
logging.getLogger("cantools").addHandler(logging.NullHandler())
logging.getLogger("cantools").propagate = False


class DatabaseUnreadable(Exception):
    """A file is not such a database; `str()` names the file and the reason."""


class DatabaseMessage(NamedTuple):
    """A message, the parts in which it is decoded, and whether it is a parameter group of J1939."""

    message: Message
    parts: tuple[Message, ...]
    """The message alone; if its signals overlap, messages of the signals that do not."""
    j1939: bool


class SignalDatabase(NamedTuple):
    """The messages of a file, and the notice to print if the file is not as it should be."""

    messages: list[DatabaseMessage]
    notice: str


def load(path: str) -> SignalDatabase:
    """Read a file: first with cantools's strict checks, then without, a DBC then also in part.

    Raises DatabaseUnreadable.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in DATABASE_SUFFIXES:
        raise DatabaseUnreadable(f"{path}: its name ends in none of {' '.join(DATABASE_SUFFIXES)}.")
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        remedy = remedy_if_hidden(path) or "Correct the name of the database."
        raise DatabaseUnreadable(f"{path}: {error.strerror}. {remedy}") from error
    text = database_text(data, xml=suffix in (".kcd", ".arxml"))
    try:
        database, strict_fact = _parsed(text, suffix, strict=True), ""
    except Exception as error:  # noqa: BLE001 - parsers raise many kinds
        strict_fact = error_text(error)
        database, facts = _parsed_in_part(path, text, suffix)
    else:
        facts = []
    messages = _messages(database, strict=not strict_fact)
    if not messages:
        return SignalDatabase([], f"{path}: it defines no message. Choose another file.")
    if not strict_fact:
        return SignalDatabase(messages, "")
    if split := sum(found.parts != (found.message,) for found in messages):
        facts.insert(
            0,
            f"signals of {split} of {len(messages)} messages overlap or do not fit: they are decoded one by one",
        )
    fact = "; ".join(facts) or "strict checks refuse it: it is read without them"
    return SignalDatabase(messages, f"{path}: {fact} ({strict_fact}). Correct the database.")


def _parsed_in_part(path: str, text: str, suffix: str) -> tuple[Database, list[str]]:
    """Read a file without strict checks, and if need be a repaired DBC; return it and what was repaired.

    Raises DatabaseUnreadable.
    """
    try:
        return _parsed(text, suffix, strict=False), []
    except Exception as error:  # noqa: BLE001 - as above
        first = error
    repair = DbcRepair(text) if suffix == ".dbc" else None
    while repair:
        try:
            return _parsed(repair.text, suffix, strict=False), repair.facts()
        except Exception as error:  # noqa: BLE001 - as above
            if not repair.leave_out(str(error)):
                break
    raise DatabaseUnreadable(
        f"{path}: not a database of frames that cantools can read. {error_text(first)}"
    ) from first


def database_text(data: bytes, *, xml: bool) -> str:
    """Return the text of a database: as its byte order mark or XML declaration says, as UTF-8, or as cp1252.

    Bytes are hardly ever valid UTF-8 by chance; cp1252 is the encoding of Vector's and PEAK's tools.
    """
    declared = _XML_ENCODING.match(data) if xml else None
    encodings = [name for mark, name in _BOMS if data.startswith(mark)]
    encodings += [declared[1].decode()] if declared else []
    for encoding in (*encodings, "utf-8"):
        try:
            return data.decode(encoding).rstrip(_PADDING) + "\n"
        except (UnicodeError, LookupError):
            continue
    return data.decode("cp1252", "replace").rstrip(_PADDING) + "\n"


def _parsed(text: str, suffix: str, *, strict: bool) -> Database:
    found = cantools.database.load_string(text, suffix[1:], strict=strict)
    assert isinstance(found, cantools.database.Database)  # noqa: S101 - diagnostic ones have another suffix
    return found


def _messages(database: Database, *, strict: bool) -> list[DatabaseMessage]:
    whole = _says_j1939(database)
    return [
        DatabaseMessage(
            message,
            (message,) if strict else parts_of(message),
            message.is_extended_frame and (whole or message.protocol == _J1939),
        )
        for message in database.messages
    ]


def _says_j1939(database: Database) -> bool:
    """Return whether a DBC's attribute ProtocolType, or its default, is J1939."""
    if database.dbc is None:
        return False
    attribute = database.dbc.attributes.get("ProtocolType")
    definition = database.dbc.attribute_definitions.get("ProtocolType")
    value = attribute.value if attribute else definition.default_value if definition else None
    return isinstance(value, str) and value.strip().lower() == _J1939


def parts_of(message: Message) -> tuple[Message, ...]:
    """Return messages whose signals neither overlap nor exceed their lengths: `message` alone if it is such a one.

    cantools decodes no signal of a message with others.
    """
    if message.is_container:
        return (message,)
    try:
        message.refresh(strict=True)
    except Error:
        pass
    else:
        return (message,)
    parts: list[list[Signal]] = []
    for signal in message.signals:
        wanted = [*_multiplexers(message, signal), signal]
        for part in parts:
            added = [*part, *(one for one in wanted if one not in part)]
            if _part(message, added):
                part[:] = added
                break
        else:
            parts.append(wanted)
    return tuple(filter(None, (_part(message, part) for part in parts)))


def _multiplexers(message: Message, signal: Signal) -> list[Signal]:
    """Return the signals that select whether a frame has this one, outermost first."""
    found: list[Signal] = []
    while signal.multiplexer_signal:
        signal = next(one for one in message.signals if one.name == signal.multiplexer_signal)
        if signal in found:
            break
        found.insert(0, signal)
    return found


def _part(message: Message, signals: list[Signal]) -> Message | None:
    """Return a message of these signals, as long as they need; None if they overlap."""
    ends = [
        8 * (signal.start // 8) + 7 - signal.start % 8 + signal.length
        if signal.byte_order == "big_endian"
        else signal.start + signal.length
        for signal in signals
    ]
    try:
        return Message(
            message.frame_id,
            message.name,
            max(message.length, (max(ends) + 7) // 8),
            signals,
            is_extended_frame=message.is_extended_frame,
        )
    except Error:
        return None
