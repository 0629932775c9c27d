"""The full message for each mistake that a file can hold.

The cases are in mistakes.txt. They cause every kind of error that pydantic can find in a table.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cancorderd.adapters import registry
from cancorderd.config import validation
from cancorderd.config.schema import keys

ProblemsOf = Callable[..., list[str]]

HEADS = {
    "-": "",
    "new": "[bus.a]\n",
    **{
        name: f'[bus.a]\ninterface = "{name}"\n'
        for name in ("mock", "socketcan", "slcan", "gs_usb", "replay", "pcan", "auto")
    },
}
MOCK = HEADS["mock"]
INTERFACES = ", ".join(f'"{name}"' for name in registry.ADAPTERS)
KEYS = ", ".join(dict.fromkeys(key for kind in registry.settings_classes() for key in keys(kind)))


class Case(NamedTuple):
    head: str
    text: str
    expected: list[str]


def cases() -> list[Case]:
    """The file's cases: see its first lines."""
    found: list[Case] = []
    for line in (Path(__file__).parent / "mistakes.txt").read_text().splitlines():
        if line.startswith("    "):
            found[-1].expected.append(line.strip().replace("INTERFACES", INTERFACES).replace("KEYS", KEYS))
        elif line and not line.startswith("#"):
            kind, _, text = line.partition(" |")
            whole = text.strip().replace("DIGITS", "0" * 400).replace("LONG", "x" * 103)
            found.append(
                Case(HEADS[kind], re.sub(r"\\(.)", lambda c: "\n" if c[1] == "n" else c[1], whole), [])
            )
    return found


CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text[:40])
def test_message_for_a_mistake(case: Case, problems_of: ProblemsOf) -> None:
    assert problems_of(f"{case.head}{case.text}\n") == [f"main.toml:{message}" for message in case.expected]


def test_all_mistakes_are_reported_at_once_and_in_order(problems_of: ProblemsOf) -> None:
    buses = [case for case in CASES if case.head]
    texts = [f"{case.head.replace('bus.a', f'bus.b{at}')}{case.text}\n" for at, case in enumerate(buses)]
    messages = [message for message in problems_of("".join(texts)) if "is also the channel" not in message]
    lines = [int(message.split(":")[1]) for message in messages]
    assert lines == sorted(lines)
    assert len(messages) == sum(len(case.expected) for case in buses)


def test_messages_have_one_form_and_no_words_of_the_library() -> None:
    jargon = re.compile(r"pydantic|input|valid |dictionary|string|integer|boolean|tuple|extra", re.IGNORECASE)
    for message in (message for case in CASES for message in case.expected):
        assert not jargon.search(message)
        assert re.fullmatch(r"\d+: [^ ].*: .*[^.]\. [A-Z].*[^.][.?]", message)


def test_every_kind_of_error_is_caused(problems_of: ProblemsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set()
    finding = validation._finding

    def noted(section: Any, error: Any) -> validation.Finding:
        kinds.add(error["type"])
        return finding(section, error)

    monkeypatch.setattr(validation, "_finding", noted)
    for case in CASES:
        problems_of(f"{case.head}{case.text}\n")
    own = {
        "value_error",
        "missing",
        "unexpected_keyword_argument",
        "string_too_short",
        "string_too_long",
        "literal_error",
    }
    assert kinds == {*validation._WANTED, *validation._LIMITS, *own}


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


def test_a_mistake_in_the_defaults_is_reported_once_at_the_defaults(problems_of: ProblemsOf) -> None:
    assert [message.partition(". ")[0] for message in problems_of(DEFAULTS)] == [
        "main.toml:3: defaults.bitrate: -5 is not above 0",
        'main.toml:4: defaults.tty_baudrate: "fast" is text, not a whole number',
        "main.toml:5: defaults.filtrs: unknown key",
        'main.toml:6: defaults.interface: there is no interface "socktcan"',
        "main.toml:7: defaults.data_bitrate: 9000000 is above 8000000",
    ]
    buses = "".join(f'[bus.{name}]\ninterface = "mock"\n' for name in "abc")
    assert problems_of(f"[defaults]\nchannel = 0\n{buses}") == [
        'main.toml:2: defaults.channel: 0 is a number, not text. Write channel = "mock".'
    ]


@pytest.mark.parametrize("defaults", ["", "[defaults]\n", "[defaults]\nbitrate = 500_000\n"], ids=repr)
def test_a_bus_without_interface_is_reported_whatever_the_defaults_hold(
    problems_of: ProblemsOf, defaults: str
) -> None:
    (message,) = problems_of(f'{defaults}[bus.a]\nchannel = "can0"\n')
    assert "bus.a.interface: " in message or "bus.a: " in message


def test_a_check_of_several_keys_comes_beside_those_of_single_keys(problems_of: ProblemsOf) -> None:
    messages = problems_of(f"{MOCK}data_bitrate = 2_000_000\nport = 0\n")
    assert [message.split(": ")[1] for message in messages] == ["bus.a.data_bitrate", "bus.a.port"]
    assert [
        message.split(": ")[1] for message in problems_of(f"{MOCK}data_bitrate = 2_000_000\nfd = 1\n")
    ] == ["bus.a.fd"]


CONFLICTS = """
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


def test_conflicts_are_reported_at_the_second_bus_beside_other_mistakes(problems_of: ProblemsOf) -> None:
    assert problems_of(CONFLICTS)[1:] == [
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


def test_a_conflict_through_the_defaults_is_reported_at_the_second_bus(problems_of: ProblemsOf) -> None:
    messages = problems_of(f"[defaults]\nport = 42420\n{MOCK}[bus.b]\ninterface = 'mock'\n")
    assert [message.partition(" is ")[0] for message in messages] == ["main.toml:5: bus.b.port: 42420"]


def test_mistakes_of_every_file_come_together_and_name_both_files(problems_of: ProblemsOf) -> None:
    main = f"include = ['z*.toml']\n{MOCK}port = 42420\n[bus.y]\ninterface = 'mock'\nport = 0\n"
    drop_in = f"{MOCK}\n[bus.z]\nport = 42420\ninterface = 'mock'\n[defaults]\nbitrate = 5\n"
    assert [message.partition(". ")[0] for message in problems_of(main, z1=drop_in, z0="a b")] == [
        "main.toml:7: bus.y.port: 0 is below 1",
        "z0.toml:1: this is not TOML: expected '=' after a key in a key/value pair, column 3",
        "z1.toml:1: bus.a: this bus is defined already (main.toml:2)",
        "z1.toml:5: bus.z.port: 42420 is also the port of bus.a (main.toml:2)",
        "z1.toml:7: defaults: a drop-in file holds tables [bus.NAME] only",
    ]
