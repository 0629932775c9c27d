"""Every key of every table: its value if it is left out, its range and its remedy, as written down in keys.txt."""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cancorderd.adapters import registry
from cancorderd.adapters.python_can_settings import PythonCanSettings
from cancorderd.config.bus_settings import BusSettings, Filter
from cancorderd.config.configuration import DaemonSettings
from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.config.record_settings import RecordSettings
from cancorderd.config.schema import Settings, keys
from cancorderd.config.validation import Finding, validated
from cancorderd.config.web_settings import WebSettings

TABLES: dict[str, tuple[type[Settings], dict[str, Any]]] = {
    "filters": (Filter, {"id": 1}),
    "record": (RecordSettings, {}),
    "daemon": (DaemonSettings, {}),
    "web": (WebSettings, {}),
    "forward": (ForwardSettings, {"url": ["tls://hub.example.net"]}),
}
"""The settings of each table that is no bus, and the keys that it cannot do without."""
REQUIRED: dict[str, dict[str, Any]] = {
    "socketcan": {"channel": "can0"},
    "slcan": {"channel": "/dev/ttyACM0"},
    "replay": {"file": "/drive.asc"},
    "nats": {"url": ["tls://hub.example.net"], "gateway": "truck-17", "bus": "powertrain"},
}


class Row(NamedTuple):
    table: str
    key: str
    left_out: str
    range: str
    remedy: str

    def validate(self, **changed: object) -> tuple[Settings | None, list[Finding]]:
        """Return the settings with these keys beside the required ones, and the findings about this row's key alone."""
        settings, findings = validate(self.table, changed)
        own = [one for one in findings if one.keys[0] == self.key]
        return settings, [one for one in own if not one.compared or one.fact == "the key is missing"]


def validate(table: str, changed: dict[str, Any]) -> tuple[Settings | None, list[Finding]]:
    """Validate a table with these keys beside the required ones; a key that is None is left out."""
    if table in TABLES:
        kind, required = TABLES[table]
    else:
        interface = "mock" if table == "every bus" else table
        of_interface = registry.settings_class(interface)
        assert of_interface is not None
        kind = of_interface
        required = {"name": "a", "interface": interface, **REQUIRED.get(interface, {})}
    return validated(
        kind, {key: value for key, value in {**required, **changed}.items() if value is not None}
    )


def rows() -> list[Row]:
    found, table = [], ""
    for line in (Path(__file__).parent / "keys.txt").read_text().splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        elif line and not line.startswith("#"):
            found.append(Row(table, *line.split(" | ")))
    return found


ROWS = rows()
FRACTIONS = {"sample_point", "silence_timeout", "background", "rate"}
"""Numbers with a fraction whose default, if there is any, has none."""


def row_id(row: Row) -> str:
    return f"{row.table}-{row.key}"


every_row = pytest.mark.parametrize("row", ROWS, ids=row_id)
RANGES = [row for row in ROWS if row.range != "-"]


def test_every_key_has_a_row() -> None:
    of_all_buses = set(keys(BusSettings)) - {"channel"}
    expected = {(name, key) for name, (kind, _) in TABLES.items() for key in keys(kind)}
    expected |= {("every bus", key) for key in of_all_buses - {"interface"}}
    for interface in registry.ADAPTERS:
        kind = registry.settings_class(interface)
        assert kind is not None
        expected |= {(interface, key) for key in keys(kind) if key not in of_all_buses}
    expected |= {("pcan", key) for key in keys(PythonCanSettings) if key not in of_all_buses}
    assert {(row.table, row.key) for row in ROWS} == expected


@every_row
def test_a_key_that_is_left_out_has_its_default(row: Row) -> None:
    if row.left_out == "required":
        _, findings = row.validate(**{row.key: None})
        assert [one.fact for one in findings] == ["the key is missing"]
        return
    settings, findings = row.validate()
    assert not findings
    value = getattr(settings, "from_" if row.key == "from" else row.key)
    assert json.loads(json.dumps(value)) == json.loads(row.left_out)


@every_row
def test_a_value_of_another_kind_has_a_remedy_that_works(row: Row) -> None:
    takes_list = "= [" in row.remedy or "= {" in row.remedy
    _, findings = row.validate(**{row.key: 5 if takes_list else []})
    assert [one.remedy for one in findings] == [row.remedy]
    if advised := re.search(r"(?: = | such as )(\[.*\]|\{.*\}|\".*?\"|[^ ,]+)(?: \(|,| or |\.$)", row.remedy):
        value = tomllib.loads(f"value = {advised[1]}")["value"]
        assert not row.validate(**{row.key: value})[1]


class Bound(NamedTuple):
    """A bound as it is written in keys.txt: "5", or "over 5" or "under 5" without the number itself."""

    last: float
    beyond: float


def bounds(row: Row) -> list[Bound]:
    whole = "." not in row.left_out and row.key not in FRACTIONS
    lowest, _, highest = row.range.partition(" to ")
    return [bound(text, whole, direction) for text, direction in ((lowest, -1), (highest, 1)) if text]


def bound(text: str, whole: bool, direction: int) -> Bound:
    *exclusive, number = text.split()
    at: float = int(number) if whole else float(number)

    def beside(step: int) -> float:
        return at + step if whole else math.nextafter(at, step * math.inf)

    return Bound(beside(-direction), at) if exclusive else Bound(at, beside(direction))


@pytest.mark.parametrize("row", [row for row in RANGES if "long" not in row.range], ids=row_id)
def test_a_number_may_be_as_low_and_as_high_as_its_range(row: Row) -> None:
    for last, beyond in bounds(row):
        assert not row.validate(**{row.key: last})[1], last
        assert [one.remedy for one in row.validate(**{row.key: beyond})[1]] == [row.remedy], beyond


@pytest.mark.parametrize("row", [row for row in RANGES if "long" in row.range], ids=row_id)
def test_a_text_or_list_may_be_as_short_and_as_long_as_its_range(row: Row) -> None:
    least, _, most = row.range.removesuffix(" long").partition(" to ")
    assert least == "1"
    if "= [" in row.remedy:
        assert row.validate(**{row.key: []})[1]
        return
    assert row.validate(**{row.key: ""})[1]
    assert not row.validate(**{row.key: "x"})[1]
    if most:
        assert not row.validate(**{row.key: "x" * int(most)})[1]
        assert row.validate(**{row.key: "x" * (int(most) + 1)})[1]


TOGETHER: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("every bus", {"data_bitrate": 2_000_000}, "data_bitrate", ["fd"]),
    ("socketcan", {"restart_ms": 100}, "restart_ms", ["configure"]),
    ("slcan", {"serial": "1205AA6"}, "channel", ["serial"]),
    ("gs_usb", {"serial": "1205AA6", "index": 0}, "index", ["serial"]),
    ("gs_usb", {"usb_port": "1-2", "bus": 1}, "bus", ["usb_port"]),
    ("mock", {"tester_id": 0x800}, "tester_id", ["extended"]),
    ("mock", {"ecu_id": 0x7E0}, "ecu_id", ["tester_id", "extended"]),
    ("mock", {"ecu_id": 0x0A8, "background": 10}, "ecu_id", ["background"]),
    ("mock", {"background": 4000}, "background", ["speed", "fd", "bitrate"]),
    ("mock", {"background": 9999, "fd": True}, "background", ["data_bitrate"]),
    ("mock", {"id": 0x123}, "id", ["pattern", "rate"]),
    ("mock", {"id": 0x800, "rate": 9}, "id", ["extended"]),
    ("mock", {"length": 12, "rate": 9}, "length", ["fd"]),
    ("record", {"keep": 10, "max_mb": 100}, "keep", ["max_mb"]),
    ("web", {"certificate": "/web.crt"}, "certificate", ["key"]),
    ("web", {"key": "/web.key"}, "key", ["certificate"]),
    (
        "web",
        {"password_file": "/password", "listen": ["::"]},
        "password_file",
        ["listen", "certificate", "key"],
    ),
    ("web", {"token_file": "/token"}, "token_file", ["password_file"]),
    ("web", {"control": True}, "control", ["password_file"]),
]
"""Keys that do not fit together: their table, the key at fault, and the keys with which it would be right or wrong."""


@pytest.mark.parametrize(("table", "written", "at_fault", "others"), TOGETHER)
def test_keys_that_do_not_fit_together_are_one_mistake_of_the_key_at_fault(
    table: str, written: dict[str, Any], at_fault: str, others: list[str]
) -> None:
    _, findings = validate(table, written)
    assert [one.keys for one in findings] == [(at_fault,)]
    for other in others:
        _, findings = validate(table, {**written, other: {"wrong": 1}})
        assert [one.keys for one in findings] == [(other,)], (
            "what does not fit is unknown until this key is right"
        )


@pytest.mark.parametrize("interface", [*registry.ADAPTERS, "pcan"])
def test_keys_of_every_bus_are_checked_together_whatever_the_interface(interface: str) -> None:
    _, findings = validate(interface, {"data_bitrate": 2_000_000})
    assert [(one.keys, one.remedy) for one in findings] == [
        (("data_bitrate",), "Write fd = true, or remove data_bitrate.")
    ]
    assert validate(interface, {"data_bitrate": 2_000_000, "fd": True})[1] == []


FAR = 1 << 63


@pytest.mark.parametrize(
    ("options", "place", "fact"),
    [
        ({"a": FAR}, ("a",), "9223372036854775808 has more than 64 bits"),
        ({"a": [0, {"b": -FAR - 1}]}, ("a", 1, "b"), "-9223372036854775809 has more than 64 bits"),
        ({"a": {"b": [math.nan]}}, ("a", "b", 0), "nan is not a finite number"),
        ({"a": -math.inf}, ("a",), "-inf is not a finite number"),
        *(
            ({name: 1}, (), f'"{name}" is no option of its own')
            for name in ("interface", "channel", "bitrate", "fd", "can_filters")
        ),
    ],
)
def test_an_option_that_no_driver_can_have_is_named_with_its_place(
    options: dict[str, Any], place: tuple[str | int, ...], fact: str
) -> None:
    _, findings = validate("pcan", {"options": options})
    assert [(one.keys, one.fact) for one in findings] == [(("options", *place), fact)]


def test_options_may_hold_all_numbers_that_toml_promises() -> None:
    options = {"a": [FAR - 1, -FAR, 0.5, True, "x"], "b": {"c": []}}
    settings, findings = validate("pcan", {"options": options})
    assert not findings
    assert isinstance(settings, PythonCanSettings)
    assert settings.options == options


@pytest.mark.parametrize(
    ("channel", "fact"),
    [
        ("0", ""), (0, ""), (FAR - 1, ""), (-FAR, ""), (FAR, "9223372036854775808 has more than 64 bits"),
        (-FAR - 1, "-9223372036854775809 has more than 64 bits"),
        (True, "true is neither text nor a whole number"), (0.5, "0.5 is neither text nor a whole number"),
    ],
)  # fmt: skip
def test_channel_of_python_can_is_text_or_a_whole_number(channel: object, fact: str) -> None:
    _, findings = validate("pcan", {"channel": channel})
    assert [one.fact for one in findings] == ([fact] if fact else [])


@pytest.mark.parametrize(
    ("table", "key", "right", "wrong"),
    [
        ("slcan", "btr", ["031C", "031c", "00000000"], ["31C", "031C031C0", "031G", "0x1C", "031C\n"]),
        ("gs_usb", "usb_port", ["1-2", "1-2.3", "10-11.12.13"], ["1", "1-", "a-1", "1-2.", "1-2 ", "1-2\n"]),
    ],
)
def test_forms_of_texts(table: str, key: str, right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if validate(table, {key: text})[1]] == []
    assert [text for text in wrong if not validate(table, {key: text})[1]] == []


def test_registers_are_written_in_capitals() -> None:
    settings, _ = validate("slcan", {"btr": "031c"})
    assert getattr(settings, "btr", None) == "031C"


def test_an_adapter_that_is_chosen_in_three_ways_is_one_mistake_of_the_last() -> None:
    _, findings = validate("gs_usb", {"serial": "A", "usb_port": "1-2", "address": 5})
    assert findings[0].keys == ("bus",)
    assert findings[0].fact == "the adapter is chosen by serial and usb_port and bus"


@pytest.mark.parametrize(
    ("keys", "max_mb", "rotate_mb"),
    [
        ({}, 1000, 100),
        ({"max_mb": 500}, 500, 50),
        ({"max_mb": 5}, 5, 1),
        ({"max_mb": 5000}, 5000, 100),
        ({"max_mb": 0}, 0, 100),
        ({"rotate_mb": 7}, 1000, 7),
        ({"keep": 3}, 300, 100),
        ({"keep": 3, "rotate_mb": 7}, 21, 7),
        ({"keep": 0}, 0, 100),
    ],
)
def test_sizes_of_recordings_that_are_left_out_follow_from_the_others(
    keys: dict[str, int], max_mb: int, rotate_mb: int
) -> None:
    settings, findings = validate("record", keys)
    assert not findings
    assert isinstance(settings, RecordSettings)
    assert (settings.max_mb, settings.rotate_mb, settings.keep) == (max_mb, rotate_mb, None)
    assert settings.max_bytes == max_mb * 1_000_000
    assert settings.file_bytes == rotate_mb * 1_000_000


def test_a_file_is_no_larger_than_all_files_together() -> None:
    settings, _ = validate("record", {"max_mb": 5, "rotate_mb": 50})
    assert isinstance(settings, RecordSettings)
    assert settings.file_bytes == 5_000_000


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_a_key_is_required_if_its_row_says_so(row: Row) -> None:
    """The manual says so, too; that slcan needs its channel or its serial number is said in words there."""
    kind = (
        TABLES[row.table][0]
        if row.table in TABLES
        else registry.settings_class(row.table.replace("every bus", "mock"))
    )
    assert kind is not None
    assert keys(kind)[row.key].required == (row.left_out == "required" and row.table != "slcan")
