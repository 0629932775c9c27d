"""Adapters as rows, and as TOML that the configuration accepts."""

import tomllib
from pathlib import Path

from cancorderd.adapters.scan import FoundAdapter
from cancorderd.adapters.socketcan import scan
from cancorderd.adapters.socketcan.link import Link, LinkTiming
from cancorderd.cli.ctl.adapter_rows import HEADER, as_json, cells, report, rows_of, toml
from cancorderd.cli.ctl.configured_adapters import bus_of, usable
from cancorderd.config.bus_settings import BUS_NAME
from cancorderd.config.loading import load

CAN0 = Link(3, "can0", True, True, True, 16, "can", bittiming=LinkTiming(250_000, 0, 0))
SLCAN = FoundAdapter("slcan", "/dev/ttyACM0", "CANable 2", "there", {"channel": "/dev/ttyACM0"})
HELD = FoundAdapter("gs_usb", "0031", "candleLight", "held by the kernel as can0", None, "use can0")


def link(name: str) -> FoundAdapter:
    return scan.found_adapter(CAN0._replace(name=name))


def test_names_are_valid_unique_and_not_taken(tmp_path: Path) -> None:
    same = SLCAN._replace(channel="/dev/ttyACM1", keys={"channel": "/dev/ttyACM1"})
    rows = rows_of(
        [link("can0"), link("can.0+x"), HELD, SLCAN, same, link("slcan0")], taken={"can0", "slcan1"}
    )
    assert [row.bus for row in rows] == ["can0-0", "can-0-x", None, "slcan0", "slcan2", "slcan0-0"]
    assert all(BUS_NAME.fullmatch(row.bus) for row in rows if row.bus)
    file = tmp_path / "x.toml"
    file.write_text(toml(rows))
    assert [bus.name for bus in load(file).buses] == [row.bus for row in rows if row.bus]


def test_single_new_adapter_gets_the_requested_name() -> None:
    assert [row.bus for row in rows_of([HELD, SLCAN], only_name="body")] == [None, "body"]
    assert [row.bus for row in rows_of([HELD, SLCAN], taken={"body"}, only_name="body")] == [None, "slcan0"]
    assert [row.bus for row in rows_of([SLCAN, link("can0")], only_name="body")] == ["slcan0", "can0"]
    known = rows_of([SLCAN, link("can0")], configured=["drive", None], only_name="body")
    assert [(row.bus, row.configured) for row in known] == [("drive", True), ("body", False)]
    assert list(tomllib.loads(toml(known))["bus"]) == ["body"]


def test_cells_and_json_agree() -> None:
    for row in rows_of([SLCAN, HELD], configured=["drive", None]):
        assert len(cells(row)) == len(HEADER)
        values = as_json(row)
        assert cells(row)[:3] == (values["bus"] or "-", values["interface"], values["channel"])
    assert toml(rows_of([HELD])) == ""


def test_bus_that_an_adapter_is_already(tmp_path: Path) -> None:
    port, by_id = tmp_path / "ttyACM0", tmp_path / "by-id"
    port.touch()
    by_id.symlink_to(port)
    file = tmp_path / "x.toml"
    file.write_text(
        f'[bus.a]\ninterface = "socketcan"\nchannel = "can0"\n[bus.b]\ninterface = "slcan"\nchannel = "{port}"\n'
        '[bus.found]\ninterface = "pcan"\nchannel = "PCAN_USBBUS1"\n[bus.d]\ninterface = "auto"\n'
        '[bus.e]\ninterface = "socketcan"\nchannel = "can1"\nenabled = false\n'
    )
    buses = load(file).buses
    assert bus_of(link("can0"), buses) == "a"
    assert bus_of(link("can1"), buses) is None
    assert bus_of(SLCAN._replace(channel=str(by_id)), buses) == "b"
    assert bus_of(SLCAN, buses) is None
    assert bus_of(FoundAdapter("pcan", "PCAN_USBBUS1", "", "", {"channel": "PCAN_USBBUS1"}), buses) == "found"
    assert bus_of(HELD, buses) is None


def test_keys_that_no_bus_can_have_are_dropped() -> None:
    fast = scan.found_adapter(CAN0._replace(mtu=72, data_bittiming=LinkTiming(10_000_000, 0, 0)))
    assert usable(fast).keys == {"channel": "can0", "bitrate": 250_000, "fd": True}
    assert usable(link("a-name-of-16-byt")).keys is None
    assert usable(FoundAdapter("wonder", "0", "", "detected", {"channel": 0})).keys is None
    assert usable(HELD) == HELD


def test_report_has_a_table_the_remedies_and_the_new_buses_as_toml() -> None:
    assert report([]) == ""
    paragraphs = report(rows_of([SLCAN, HELD])).split("\n\n")
    assert [line.split()[0] for line in paragraphs[0].splitlines()] == [HEADER[0], "slcan0", "-"]
    assert paragraphs[1] == "0031: use can0"
    assert tomllib.loads(paragraphs[3]) == {"bus": {"slcan0": SLCAN.table}}
    known = report(rows_of([SLCAN], configured=["drive"]))
    assert "there, configured" in known
    assert "\n\n" not in known, "neither a remedy nor a new bus"
