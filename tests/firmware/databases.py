"""The museum of databases, which the exhibits write themselves and `cancorderctl dump --decode` reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cancorderd.protocol.frame import EXTENDED, MAX_STANDARD_ID, Frame
from cancorderd.signals.signal_database import DatabaseUnreadable
from cancorderd.signals.signal_decoder import SignalDecoder, signal_text
from tests.firmware.exhibit import Exhibit, Outcome

if TYPE_CHECKING:
    from pathlib import Path

TITLE = "Databases of signals"

_HEAD = 'VERSION ""\n\nBU_: A\n'
_GOOD = 'BO_ 291 Engine: 8 A\n SG_ Heat : 0|8@1+ (1,0) [0|0] "°C" A\n\n'
_OVERLAPPING = (
    'BO_ 291 Engine: 8 A\n SG_ Speed : 0|16@1+ (1,0) [0|0] "rpm" A\n SG_ Low : 0|8@1+ (1,0) [0|0] "" A\n\n'
)
_ENGINE_PGN = 'BO_ 2364540158 EEC1: 8 A\n SG_ Speed : 24|16@1+ (0.125,0) [0|0] "rpm" A\n\n'
_SAYS_J1939 = 'BA_DEF_  "ProtocolType" STRING ;\nBA_DEF_DEF_  "ProtocolType" "J1939";\n'
_DATA = bytes(range(1, 9))


@dataclass(frozen=True, kw_only=True)
class DatabaseExhibit(Exhibit):
    """A database, and a frame that is decoded with it."""

    content: bytes
    arbitration_id: int = 0x123
    file: str = "car.dbc"
    j1939: bool = False
    """Whether the command has the option --j1939."""


def observe(exhibit: DatabaseExhibit, folder: Path) -> Outcome:
    """Write the database, decode the frame with it, and return the signals and the notice."""
    file = folder / exhibit.file
    file.write_bytes(exhibit.content)
    flags = EXTENDED if exhibit.arbitration_id > MAX_STANDARD_ID else 0
    try:
        decoder = SignalDecoder([str(file)], j1939=exhibit.j1939)
    except DatabaseUnreadable as failure:
        return Outcome("refused", str(failure).replace(f"{folder}/", ""))
    decoded = decoder.decode(Frame(0, exhibit.arbitration_id, flags, _DATA))
    came = signal_text(decoded).removeprefix(" :: ") if decoded else "not decoded"
    return Outcome(came, " ".join(decoder.notices).replace(f"{folder}/", ""))


EXHIBITS = (
    DatabaseExhibit(
        name="by the book",
        symptom="None.",
        came="Engine(Heat: 1 °C)",
        content=(_HEAD + _GOOD).encode(),
    ),
    DatabaseExhibit(
        name="overlapping signals",
        symptom="Two signals share bits, which strict programs refuse.",
        came="Engine(Speed: 513 rpm, Low: 1)",
        said="car.dbc: signals of 1 of 1 messages overlap or do not fit: they are decoded one by one (…). Correct …",
        content=(_HEAD + _OVERLAPPING).encode(),
    ),
    DatabaseExhibit(
        name="signal beyond its message",
        symptom="A message of one byte has a signal of two.",
        came="Engine(Speed: 513 rpm, Low: 1)",
        said="car.dbc: signals of 1 of 1 messages overlap or do not fit…",
        content=(_HEAD + _OVERLAPPING.replace(": 8 A", ": 1 A")).encode(),
    ),
    DatabaseExhibit(
        name="statement of a newer tool",
        symptom="A line that cantools does not know.",
        came="Engine(Heat: 1 °C)",
        said="car.dbc: lines that cannot be read are left out: … Correct the database.",
        content=(_HEAD + _GOOD + "BRAND_NEW_ 291 1;\n").encode(),
    ),
    DatabaseExhibit(
        name="umlauts of Windows",
        symptom="The units are in the code page of Western Windows.",
        came="Engine(Heat: 1 °C)",
        content=(_HEAD + _GOOD).replace("\n", "\r\n").encode("cp1252"),
    ),
    DatabaseExhibit(
        name="saved as Unicode",
        symptom="An editor of Windows has saved the database in UTF-16.",
        came="Engine(Heat: 1 °C)",
        content=(_HEAD + _GOOD).encode("utf-16"),
    ),
    DatabaseExhibit(
        name="old end of file",
        symptom="The file ends with Ctrl+Z and NUL bytes.",
        came="Engine(Heat: 1 °C)",
        content=(_HEAD + _GOOD).encode() + b"\x1a\0\0",
    ),
    DatabaseExhibit(
        name="J1939 that says so",
        symptom="The message has the source address of one controller; another one sends it.",
        came="EEC1(Speed: 160.5 rpm)",
        arbitration_id=0x0CF0_0417,
        content=(_HEAD + _ENGINE_PGN + _SAYS_J1939).encode(),
    ),
    DatabaseExhibit(
        name="J1939 by option",
        symptom="The same, in a database that does not say that it is J1939's; with --j1939.",
        came="EEC1(Speed: 160.5 rpm)",
        arbitration_id=0x0CF0_0417,
        j1939=True,
        content=(_HEAD + _ENGINE_PGN).encode(),
    ),
    DatabaseExhibit(
        name="no database",
        symptom="A page of a web site was saved in place of the file.",
        came="refused",
        said="car.dbc: not a database of frames that cantools can read. …",
        content=b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n",
    ),
)
