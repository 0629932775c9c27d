"""Sections as values: what a worker receives, what a reload compares, what the manual tells."""

import ipaddress
import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cancorderd.config import checks
from cancorderd.config.interfaces import PYTHON_CAN_INTERFACES, SECTIONS, section_of
from cancorderd.config.model import (
    OWN_SECTIONS,
    BusBase,
    Configuration,
    Daemon,
    Filter,
    GsUsbBus,
    MockBus,
    PythonCanBus,
    SocketcanBus,
)

ALL = (*SECTIONS, Daemon, Filter, Configuration)

EVERY_KIND = [
    {"interface": "socketcan", "channel": "can0", "fd": True, "data_bitrate": 2_000_000},
    {
        "interface": "slcan",
        "channel": "/dev/ttyACM0",
        "filters": [{"id": 0x7E8}, {"id": 1, "extended": True}],
    },
    {"interface": "mock", "allow": ["10.1.2.3/8", "::1"], "listen": ["::1"], "seed": 5, "watchdog": 5},
    {"interface": "replay", "file": "/x.asc", "silence_timeout": 1, "sample_point": 0.5},
    {"interface": "auto", "filters": [{"id": 1}]},
    {"interface": "pcan", "channel": None, "options": {"a": [1, {"b": 2.5}], "c": True}},
]


@pytest.mark.parametrize("table", EVERY_KIND, ids=lambda table: str(table["interface"]))
def test_a_section_survives_json(table: dict[str, object]) -> None:
    configuration = Configuration.model_validate({"buses": [{"name": "a", **table}]})
    (bus,) = configuration.buses
    told = json.loads(json.dumps(bus.model_dump(mode="json"), allow_nan=False))
    assert told == bus.model_dump(mode="json")
    assert type(bus).model_validate(told) == bus
    assert {key: value for key, value in told.items() if key in ("interface", "channel", "name")}


def test_networks_and_addresses_reach_the_worker_as_canonical_text() -> None:
    bus = MockBus.model_validate(
        {"name": "a", "interface": "mock", "allow": ["10.1.2.3/8", "::0001"], "listen": ["::0001", "::1"]}
    )
    told = bus.model_dump(mode="json")
    assert told["allow"] == ["10.0.0.0/8", "::1/128"]
    assert told["listen"] == ["::1"]


def test_a_key_written_with_its_default_changes_nothing() -> None:
    plain = SocketcanBus(name="a", interface="socketcan", channel="can0")
    assert plain == SocketcanBus(name="a", interface="socketcan", channel="can0", bitrate=500_000, port=None)
    assert plain != SocketcanBus(name="a", interface="socketcan", channel="can0", bitrate=250_000)


def test_a_filter_matches_exactly_unless_told_otherwise() -> None:
    assert Filter(id=0x7E8).mask == 0x1FFF_FFFF


@pytest.mark.parametrize("section", ALL, ids=lambda section: section.__name__)
def test_every_key_is_described_in_one_sentence(section: type[BusBase]) -> None:
    for key, field in section.model_fields.items():
        assert field.description, key
        assert field.description.endswith(".") or key == "name", key


def test_a_key_in_several_sections_has_one_type_unless_the_interface_decides() -> None:
    kinds: dict[str, set[str]] = {}
    for section in SECTIONS:
        for key, field in section.key_fields().items():
            kinds.setdefault(key, set()).add(str(field.annotation))
    assert {key for key, kind in kinds.items() if len(kind) > 1} == {"interface", "channel"}


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Daemon().log_level = "debug"


def test_python_can_brings_the_interfaces_that_are_written_down() -> None:
    from can.interfaces import BACKENDS

    plugins = {entry.name for entry in entry_points(group="can.interface")}
    assert set(PYTHON_CAN_INTERFACES) == set(BACKENDS) - plugins - set(OWN_SECTIONS)


def test_interfaces_and_their_sections() -> None:
    assert section_of("socketcan") is SocketcanBus
    assert section_of("gs_usb") is GsUsbBus
    assert section_of("pcan") is section_of("virtual") is PythonCanBus
    assert section_of("socktcan") is section_of("") is None


def test_an_interface_that_a_package_adds_is_known(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    info = Path(str(tmp_path)) / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[can.interface]\nwonder = nowhere:Bus\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert section_of("wonder") is PythonCanBus


def test_the_configuration_does_not_import_python_can() -> None:
    code = "import sys, cancorderd.config.load; sys.exit('can' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


addresses = st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "10.0.0.1", "::1", "fe80::1"])


@given(addresses, addresses)
def test_overlap_is_mutual_and_within_one_family(one: str, other: str) -> None:
    assert checks.overlap(one, other) == checks.overlap(other, one)
    assert checks.overlap(one, one)
    if ipaddress.ip_address(one).version != ipaddress.ip_address(other).version:
        assert not checks.overlap(one, other)
