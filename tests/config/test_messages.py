"""What is said about each mistake that a file can hold, in full.

The cases are in mistakes.txt. Every kind of error that pydantic can find in a section is among them.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cancorderd.config import sentences

Said = Callable[..., list[str]]

HEADS = {
    "-": "",
    "new": "[bus.a]\n",
    **{
        name: f'[bus.a]\ninterface = "{name}"\n'
        for name in ("mock", "socketcan", "slcan", "gs_usb", "replay", "pcan", "auto")
    },
}
MOCK = HEADS["mock"]


class Case(NamedTuple):
    head: str
    text: str
    expected: list[str]


def cases() -> list[Case]:
    """The file's cases: see its first lines."""
    found: list[Case] = []
    for line in (Path(__file__).parent / "mistakes.txt").read_text().splitlines():
        if line.startswith("    "):
            found[-1].expected.append(line.strip())
        elif line and not line.startswith("#"):
            kind, _, text = line.partition(" |")
            whole = text.strip().replace("DIGITS", "0" * 400).replace("LONG", "x" * 103)
            found.append(
                Case(HEADS[kind], re.sub(r"\\(.)", lambda c: "\n" if c[1] == "n" else c[1], whole), [])
            )
    return found


CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text[:40])
def test_what_is_said(case: Case, said: Said) -> None:
    assert said(f"{case.head}{case.text}\n") == [f"main.toml:{each}" for each in case.expected]


def test_everything_is_told_at_once_and_in_order(said: Said) -> None:
    buses = [case for case in CASES if case.head]
    texts = [f"{case.head.replace('bus.a', f'bus.b{at}')}{case.text}\n" for at, case in enumerate(buses)]
    told = [each for each in said("".join(texts)) if "is also the channel" not in each]
    lines = [int(each.split(":")[1]) for each in told]
    assert lines == sorted(lines)
    assert len(told) == sum(len(case.expected) for case in buses)


def test_messages_have_one_form_and_no_words_of_the_library() -> None:
    jargon = re.compile(r"pydantic|input|valid |dictionary|string|integer|boolean|tuple|extra", re.IGNORECASE)
    for message in (each for case in CASES for each in case.expected):
        assert not jargon.search(message)
        assert re.fullmatch(r"\d+: [^ ].*: .*[^.]\. [A-Z].*[^.][.?]", message)


def test_every_kind_of_error_is_caused(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set()
    finding = sentences._finding

    def noted(section: Any, error: Any) -> sentences.Finding:
        kinds.add(error["type"])
        return finding(section, error)

    monkeypatch.setattr(sentences, "_finding", noted)
    for case in CASES:
        said(f"{case.head}{case.text}\n")
    own = {"mistake", "missing", "extra_forbidden", "string_too_short", "string_too_long", "literal_error"}
    assert kinds == {*sentences._WANTED, *sentences._LIMITS, *own}


DEFAULTS = """
[defaults]
bitrate = -5
tty_baudrate = "fast"
filtrs = []
interface = "socktcan"
data_bitrate = 9_000_000
[bus.a]
channel = "can0"
[bus.b]
interface = "mock"
[bus.c]
interface = "slcan"
channel = "/dev/x"
"""


def test_a_mistake_in_the_defaults_is_told_once_and_there(said: Said) -> None:
    assert [each.partition(". ")[0] for each in said(DEFAULTS)] == [
        "main.toml:3: defaults.bitrate: -5 is not above 0",
        'main.toml:4: defaults.tty_baudrate: "fast" is text, not a whole number',
        "main.toml:5: defaults.filtrs: unknown key",
        'main.toml:6: defaults.interface: there is no interface "socktcan"',
        "main.toml:7: defaults.data_bitrate: 9000000 is above 8000000",
    ]
    buses = "".join(f'[bus.{name}]\ninterface = "mock"\n' for name in "abc")
    assert said(f"[defaults]\nchannel = 0\n{buses}") == [
        'main.toml:2: defaults.channel: 0 is a number, not text. Write channel = "mock".'
    ]


def test_a_check_of_several_keys_comes_beside_those_of_single_keys(said: Said) -> None:
    told = said(f"{MOCK}data_bitrate = 2_000_000\nport = 0\n")
    assert [each.split(": ")[1] for each in told] == ["bus.a.data_bitrate", "bus.a.port"]
    assert [each.split(": ")[1] for each in said(f"{MOCK}data_bitrate = 2_000_000\nfd = 1\n")] == ["bus.a.fd"]


CLASHES = """
[bus.a]
interface = "socketcan"
channel = "can0"
port = 42420
service_name = "ECUconnect-Logger x"
bitrate = -1
[bus.b]
interface = "socketcan"
service_name = "ECUconnect-Logger X"
port = 42420
channel = "can0"
"""


def test_clashes_are_told_at_the_second_bus_beside_other_mistakes(said: Said) -> None:
    assert said(CLASHES)[1:] == [
        (
            'main.toml:10: bus.b.service_name: "ECUconnect-Logger X" is also the name of bus.a (main.toml:2). '
            "Use another, or leave the key out for the default one."
        ),
        (
            "main.toml:11: bus.b.port: 42420 is also the port of bus.a (main.toml:2). "
            "Use another, or leave the key out for an automatic one."
        ),
        (
            'main.toml:12: bus.b.channel: "can0" is also the channel of bus.a (main.toml:2). '
            "Use another, or write enabled = false in one of the two."
        ),
    ]


def test_a_clash_through_the_defaults_is_told_at_the_second_bus(said: Said) -> None:
    told = said(f"[defaults]\nport = 42420\n{MOCK}[bus.b]\ninterface = 'mock'\n")
    assert [each.partition(" is ")[0] for each in told] == ["main.toml:5: bus.b.port: 42420"]


def test_mistakes_of_every_file_come_together_and_name_both_files(said: Said) -> None:
    main = f"include = ['z*.toml']\n{MOCK}port = 42420\n[bus.y]\ninterface = 'mock'\nport = 0\n"
    one = f"{MOCK}\n[bus.z]\nport = 42420\ninterface = 'mock'\n[defaults]\nbitrate = 5\n"
    assert [each.partition(". ")[0] for each in said(main, z1=one, z0="a b")] == [
        "main.toml:7: bus.y.port: 0 is below 1",
        "z0.toml:1: this is not TOML: expected '=' after a key in a key/value pair, column 3",
        "z1.toml:1: bus.a: this bus is defined already (main.toml:2)",
        "z1.toml:5: bus.z.port: 42420 is also the port of bus.a (main.toml:2)",
        "z1.toml:7: defaults: a drop-in file holds tables [bus.NAME] only",
    ]
