"""Settings as values: sent to a worker, compared by a reload, described in the manual."""

import datetime as dt
import ipaddress
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from importlib.metadata import entry_points
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters import python_can_interfaces, registry
from cancorderd.adapters.gs_usb.settings import GsUsbSettings
from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.adapters.python_can_settings import PythonCanSettings
from cancorderd.adapters.socketcan.settings import SocketcanSettings
from cancorderd.config import settings_json, value_checks
from cancorderd.config.bus_settings import BusSettings, Filter
from cancorderd.config.configuration import DaemonSettings
from cancorderd.config.mistake import Mistake
from cancorderd.config.record_settings import RecordSettings
from cancorderd.config.schema import Settings, key_name, keys
from tests.support.settings import valid, valid_settings

ALL: list[type[Settings]] = [
    *registry.settings_classes(),
    BusSettings,
    DaemonSettings,
    Filter,
    RecordSettings,
]

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
def test_settings_reach_the_worker_unchanged(table: dict[str, Any]) -> None:
    settings = valid_settings(**table)
    rebuilt = settings_json.from_json(settings_json.to_json(settings))
    assert rebuilt == settings
    assert type(rebuilt) is type(settings) is registry.settings_class(table["interface"])
    assert [type(value) for value in rebuilt.filters] == [Filter] * len(settings.filters)


def test_dates_in_options_reach_the_worker_as_text() -> None:
    settings = valid_settings("pcan", options={"since": dt.date(2024, 1, 2)})
    rebuilt = settings_json.from_json(settings_json.to_json(settings))
    assert isinstance(rebuilt, PythonCanSettings)
    assert rebuilt.options == {"since": "2024-01-02"}


def test_a_worker_rejects_settings_that_contradict_each_other() -> None:
    text = settings_json.to_json(valid_settings("mock")).replace('"data_bitrate":null', '"data_bitrate":9')
    with pytest.raises(Mistake, match="the bus has no CAN FD"):
        settings_json.from_json(text)


def test_networks_and_addresses_are_canonical_text() -> None:
    settings = valid(
        MockSettings, name="a", interface="mock", allow=["10.1.2.3/8", "::0001"], listen=["::0001", "::1"]
    )
    assert settings.allow == ("10.0.0.0/8", "::1/128")
    assert settings.listen == ("::1",)


@pytest.mark.parametrize(
    ("written", "network"),
    [
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:a00:0/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
        ("::ffff:192.168.1.7", "192.168.1.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("fe80::/10", "fe80::/10"),
    ],
)
def test_network_of_mapped_addresses_is_that_of_ipv4(written: str, network: str) -> None:
    settings = valid(MockSettings, name="a", interface="mock", allow=[written])
    assert settings.allow == (network,)


@pytest.mark.parametrize("written", ["::ffff:10.0.0.0/95", "::ffff:0:0/8", "fe80::1%eth0/64", "fe80::%1"])
def test_network_that_cannot_mean_what_is_written_is_refused(written: str) -> None:
    with pytest.raises(Mistake):
        value_checks.network(written)


def test_mapped_address_to_listen_on_is_that_of_ipv4() -> None:
    settings = valid(MockSettings, name="a", interface="mock", listen=["::ffff:127.0.0.1", "127.0.0.1"])
    assert settings.listen == ("127.0.0.1",)


def test_a_key_written_with_its_default_changes_nothing() -> None:
    plain = SocketcanSettings(name="a", interface="socketcan", channel="can0")
    assert plain == SocketcanSettings(
        name="a", interface="socketcan", channel="can0", bitrate=500_000, port=None
    )
    assert plain != SocketcanSettings(name="a", interface="socketcan", channel="can0", bitrate=250_000)


def test_a_filter_matches_exactly_by_default() -> None:
    assert Filter(id=0x7E8).mask == 0x1FFF_FFFF


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_key_is_described_in_sentences(kind: type[Settings]) -> None:
    assert all(key.key.description.endswith(".") for key in keys(kind).values())


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_fields_that_are_no_keys_are_those_that_the_program_sets(kind: type[Settings]) -> None:
    others = {key_name(field.name) for field in fields(kind)} - set(keys(kind))  # type: ignore[arg-type]
    assert others <= {"name", "prefer_fd", "resume", "taken", "channel"}
    assert ("channel" in others) == (kind is registry.settings_class("auto"))


def test_a_key_in_several_tables_has_one_type_unless_the_interface_decides() -> None:
    types: dict[str, set[str]] = {}
    for kind in registry.settings_classes():
        for name, key in keys(kind).items():
            types.setdefault(name, set()).add(str(key.type))
    assert {name for name, found in types.items() if len(found) > 1} == {"interface", "channel", "bus"}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_nested_settings_are_those_of_the_annotations(kind: type[Settings]) -> None:
    annotated = {
        name: re.search(r"\b(\w+(Settings|Filter)|Filter)\b", str(key.type))
        for name, key in keys(kind).items()
    }
    assert {name: found[1] for name, found in annotated.items() if found} == {
        name: nested.__name__ for name, nested in kind.nested.items()
    }


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        DaemonSettings().log_level = "debug"  # type: ignore[misc]


def test_python_can_brings_the_interfaces_that_are_written_down() -> None:
    from can.interfaces import BACKENDS

    plugins = {entry.name for entry in entry_points(group="can.interface")}
    assert set(python_can_interfaces.INTERFACES) == set(BACKENDS) - plugins - set(registry.ADAPTERS)


def test_interfaces_and_their_settings() -> None:
    assert registry.settings_class("socketcan") is SocketcanSettings
    assert registry.settings_class("gs_usb") is GsUsbSettings
    assert registry.settings_class("pcan") is registry.settings_class("virtual") is PythonCanSettings
    assert registry.settings_class("socktcan") is registry.settings_class("") is None


def test_an_interface_that_a_package_adds_is_known(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    info = Path(str(tmp_path)) / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[can.interface]\nwonder = nowhere:Bus\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.settings_class("wonder") is PythonCanSettings


def test_the_configuration_does_not_import_python_can() -> None:
    code = "import sys, cancorderd.config.loading; sys.exit('can' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


addresses = st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "10.0.0.1", "::1", "fe80::1"])


@given(addresses, addresses)
def test_overlap_is_mutual_and_within_one_family(first: str, second: str) -> None:
    assert value_checks.overlap(first, second) == value_checks.overlap(second, first)
    assert value_checks.overlap(first, first)
    if ipaddress.ip_address(first).version != ipaddress.ip_address(second).version:
        assert not value_checks.overlap(first, second)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("FE80:0::1%a-name_of_15.ch", "fe80::1%a-name_of_15.ch"),
        ("fe80::1%a-name_of_16.chr", None),
        ("fe80::1%et h0", None),
        ("fe80::1%", None),
        ("127.0.0.1%eth0", None),
        ("0" * 65, None),
        ("localhost", None),
        ("", None),
    ],
)
def test_address_may_name_the_interface_of_a_link(text: str, address: str | None) -> None:
    if address is None:
        with pytest.raises(Mistake, match="is not an IP address"):
            value_checks.address(text)
    else:
        assert value_checks.address(text) == address
