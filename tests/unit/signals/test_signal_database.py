"""Databases as they are in the wild: what is good in them is decoded, and one sentence names the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from cancorderd.protocol.frame import EXTENDED, Frame
from cancorderd.signals.signal_database import DatabaseUnreadable, load
from cancorderd.signals.signal_decoder import SignalDecoder, signal_text

HEAD = 'VERSION ""\n\nBU_: A\n'
GOOD = 'BO_ 291 Good: 8 A\n SG_ Heat : 0|8@1+ (1,0) [0|0] "°C" A\n\n'
KCD = (
    '<?xml version="1.0" encoding="{}"?>\n<NetworkDefinition xmlns="http://kayak.2codeornot2code.org/1.0">'
    '<Document/><Bus name="b"><Message id="0x123" name="Good" length="8"><Signal name="Heat" offset="0" length="8">'
    '<Value unit="°C"/></Signal>{}</Message></Bus></NetworkDefinition>'
)
SYM = (
    'FormatVersion=6.0 // written by hand\nTitle="t"\n\n{SIGNALS}\nSig=Heat unsigned 8 /u:°C\n'
    "Sig=Other unsigned 8\n\n{SENDRECEIVE}\n\n[Good]\nID=123h\nLen=8\nSig=Heat 0\n"
)
DATA = bytes(range(1, 9))
GOOD_LINE = " :: Good(Heat: 1 °C)"


def written(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def decoded(path: str, arbitration_id: int = 0x123, data: bytes = DATA, flags: int = 0) -> str:
    found = SignalDecoder([path]).decode(Frame(0, arbitration_id, flags, data))
    return signal_text(found) if found else ""


SOUND = [
    ("utf8.dbc", HEAD + GOOD),
    ("bom.dbc", "\ufeff" + HEAD + GOOD),
    ("utf16.dbc", (HEAD + GOOD).encode("utf-16")),
    ("utf16be.dbc", b"\xfe\xff" + (HEAD + GOOD).encode("utf-16-be")),
    ("cp1252.dbc", (HEAD + GOOD).encode("cp1252")),
    ("crlf.dbc", (HEAD + GOOD).replace("\n", "\r\n")),
    ("ctrl_z.dbc", HEAD + GOOD + "\x1a"),
    ("nul.dbc", HEAD + GOOD + "\0\0"),
    ("utf8.kcd", KCD.format("UTF-8", "")),
    ("bom.kcd", "\ufeff" + KCD.format("UTF-8", "")),
    ("latin1.kcd", KCD.format("ISO-8859-1", "").encode("latin-1")),
    ("utf16.kcd", KCD.format("UTF-16", "").encode("utf-16")),
    ("unknown_encoding.kcd", KCD.format("x-unknown", "")),
    ("cp1252.sym", SYM.encode("cp1252")),
    ("bom.sym", "\ufeff" + SYM),
    ("utf16.sym", SYM.encode("utf-16")),
    ("CAPITALS.SYM", SYM),
]


@pytest.mark.parametrize(("name", "content"), SOUND, ids=[name for name, _ in SOUND])
def test_encodings_and_ends_of_files_are_no_obstacle(tmp_path: Path, name: str, content: str | bytes) -> None:
    path = written(tmp_path, name, content)
    assert decoded(path) == GOOD_LINE
    assert load(path).notice == ""


OVERLAP = (
    'BO_ 292 Over: 8 A\n SG_ Wide : 0|16@1+ (1,0) [0|0] "rpm" A\n SG_ Low : 0|8@1+ (1,0) [0|0] "" A\n'
    ' SG_ High : 8|8@1+ (1,0) [0|0] "" A\n SG_ Motorola : 23|16@0+ (1,0) [0|0] "" A\n\n'
)
OVERLAP_LINE = " :: Over(Wide: 513 rpm, Low: 1, High: 2, Motorola: 772)"
MULTIPLEXED = (
    'BO_ 292 Over: 8 A\n SG_ Which M : 0|8@1+ (1,0) [0|0] "" A\n SG_ One m1 : 8|16@1+ (1,0) [0|0] "" A\n'
    ' SG_ Two m2 : 8|8@1+ (1,0) [0|0] "" A\n SG_ Also m1 : 16|16@1+ (1,0) [0|0] "" A\n'
    ' SG_ Always : 24|16@1+ (1,0) [0|0] "" A\n\n'
)
STRICT = [
    ("overlapping", OVERLAP, DATA, OVERLAP_LINE),
    ("frame is short", OVERLAP, DATA[:1], " :: Over(Low: 1)"),
    ("longer than its message", OVERLAP.replace(": 8 A", ": 2 A"), DATA, OVERLAP_LINE),
    ("message of no bytes", OVERLAP.replace(": 8 A", ": 0 A"), DATA, OVERLAP_LINE),
    ("multiplexed", MULTIPLEXED, DATA, " :: Over(Which: 1, One: 770, Also: 1027, Always: 1284)"),
    ("other multiplexer", MULTIPLEXED, b"\2" + DATA[1:], " :: Over(Which: 2, Two: 2, Always: 1284)"),
    ("unknown multiplexer", MULTIPLEXED, b"\3" + DATA[1:], " :: Over: expected multiplexer id 1, but got 3"),
]  # fmt: skip


@pytest.mark.parametrize(("_name", "message", "data", "line"), STRICT, ids=[case[0] for case in STRICT])
def test_signals_that_overlap_or_do_not_fit_are_decoded_with_one_notice(
    tmp_path: Path, _name: str, message: str, data: bytes, line: str
) -> None:
    path = written(tmp_path, "strict.dbc", HEAD + GOOD + message)
    assert decoded(path, 0x124, data) == line
    assert decoded(path) == GOOD_LINE
    (notice,) = SignalDecoder([path]).notices
    assert notice.startswith(
        f"{path}: signals of 1 of 2 messages overlap or do not fit: they are decoded one by one ("
    )
    assert notice.endswith("). Correct the database.")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("overlap.kcd", KCD.format("UTF-8", '<Signal name="Other" offset="4" length="8"/>')),
        ("overlap.sym", SYM + "Sig=Other 4\n"),
    ],
)
def test_other_formats_are_read_without_strict_checks_as_well(
    tmp_path: Path, name: str, content: str
) -> None:
    path = written(tmp_path, name, content)
    assert decoded(path) == " :: Good(Heat: 1 °C, Other: 32)"
    assert "are decoded one by one" in load(path).notice


BROKEN = [
    ("unknown statement", "WHATEVER this is\n", "7"),
    ("statement of a newer tool", "BRAND_NEW_ 291 1;\n", "7"),
    ("statement that cantools does not read", "SIGTYPE_VALTYPE_ Heat : 1;\nCAT_ 1 1;\n", "7, 8"),
    ("message without length", 'BO_ 292 Bad A\n SG_ X : 0|8@1+ (1,0) [0|0] "" A\n', "7, 8"),
    ("signal without unit", "BO_ 292 Bad: 8 A\n SG_ X : 0|8@1+ (1,0) [0|0] A\n", "8"),
    ("values of no signal", 'VAL_ 291 Cold 0 "a" ;\nVAL_ 999 Heat 0 "a" ;\n', "7, 8"),
    ("statement without end", 'VAL_ 291 Heat 9 "a"\nCM_ "c";\n', "7"),
    ("id of more than 29 bits", 'BO_ 1073741824 Bad: 8 A\n SG_ X : 0|8@1+ (1,0) [0|0] "" A\n', "7, 8"),
]


@pytest.mark.parametrize(("_name", "lines", "numbers"), BROKEN, ids=[case[0] for case in BROKEN])
def test_lines_that_cannot_be_read_are_left_out_with_one_notice(
    tmp_path: Path, _name: str, lines: str, numbers: str
) -> None:
    path = written(tmp_path, "broken.dbc", HEAD + GOOD + lines + GOOD.replace("291 Good", "293 Last"))
    assert decoded(path) == GOOD_LINE
    assert decoded(path, 0x125) == GOOD_LINE.replace("Good", "Last")
    assert f"lines that cannot be read are left out: {numbers} (" in load(path).notice


def test_many_messages_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    bad = "".join(GOOD.replace("291 Good", f"{0x4000_0000 + number} Bad{number}") for number in range(40))
    path = written(tmp_path, "many.dbc", HEAD + bad + GOOD)
    assert decoded(path) == GOOD_LINE
    assert (
        ": lines that cannot be read are left out: 4, 5, 7, 8, 10, 11, 13, 14, 16, 17 and 70 more ("
        in load(path).notice
    )


def test_ids_above_11_bits_are_extended_even_without_the_mark(tmp_path: Path) -> None:
    lines = (
        GOOD.replace("291 Good", "419360000 Big") + 'CM_ BO_ 419360000 "c";\nVAL_ 419360000 Heat 1 "warm" ;\n'
    )
    path = written(tmp_path, "unmarked.dbc", HEAD + GOOD + lines)
    assert decoded(path, 419360000, flags=EXTENDED) == " :: Big(Heat: warm)"
    assert decoded(path) == GOOD_LINE
    assert "ids above 0x7FF are read as 29-bit ids" in load(path).notice


def test_of_messages_with_one_id_the_first_counts(tmp_path: Path) -> None:
    path = written(tmp_path, "twice.dbc", HEAD + GOOD + GOOD.replace("Good", "Again"))
    assert decoded(path) == GOOD_LINE


def test_database_without_messages_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "none.dbc", HEAD)
    assert load(path).notice == f"{path}: it defines no message. Choose another file."


@pytest.mark.parametrize("content", ["", "\n" * 3, "no database\n" * 3, "<html>\n" * 200, "BO_ \n" * 200])
def test_other_text_is_no_database(tmp_path: Path, content: str) -> None:
    with pytest.raises(DatabaseUnreadable, match="not a database of frames that cantools can read"):
        load(written(tmp_path, "text.dbc", content))


def test_numbers_that_json_does_not_have_are_text(tmp_path: Path) -> None:
    message = 'BO_ 292 F: 4 A\n SG_ X : 0|32@1- (1,0) [0|0] "" A\n\nSIG_VALTYPE_ 292 X : 1;\n'
    decoder = SignalDecoder([written(tmp_path, "float.dbc", HEAD + message)])
    found = [decoder.decode(Frame(0, 0x124, 0, bytes.fromhex(data))) for data in ("0000c07f", "0000803f")]
    assert [item and item["signals"]["X"]["value"] for item in found] == ["nan", 1.0]
