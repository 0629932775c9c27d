"""What was found, as rows and as TOML that the configuration takes."""

import tomllib
from pathlib import Path

from cancorderd.config.bus import BUS_NAME
from cancorderd.config.load import load
from cancorderd.detect import links
from cancorderd.detect.configured import bus_of, sound
from cancorderd.detect.found import HEADER, Found, as_json, cells, listing, toml
from cancorderd.sources.can_link_messages import Bittiming, Link

CAN0 = Link(3, "can0", True, True, True, 16, "can", bittiming=Bittiming(250_000, 0, 0))
SLCAN = Found("slcan", "/dev/ttyACM0", "CANable 2", "there", {"channel": "/dev/ttyACM0"})
HELD = Found("gs_usb", "0031", "candleLight", "held by the kernel as can0", None, "use can0")


def link(name: str) -> Found:
    return links.described(CAN0._replace(name=name))


def test_names_are_valid_unique_and_not_taken(tmp_path: Path) -> None:
    same = SLCAN._replace(channel="/dev/ttyACM1", keys={"channel": "/dev/ttyACM1"})
    rows = listing(
        [link("can0"), link("can.0+x"), HELD, SLCAN, same, link("slcan0")], taken={"can0", "slcan1"}
    )
    assert [row.bus for row in rows] == ["can0-0", "can-0-x", None, "slcan0", "slcan2", "slcan0-0"]
    assert all(BUS_NAME.fullmatch(row.bus) for row in rows if row.bus)
    file = tmp_path / "x.toml"
    file.write_text(toml(rows))
    assert [bus.name for bus in load(file).buses] == [row.bus for row in rows if row.bus]


def test_a_single_new_adapter_gets_the_name_that_was_asked_for() -> None:
    assert [row.bus for row in listing([HELD, SLCAN], only_name="body")] == [None, "body"]
    assert [row.bus for row in listing([HELD, SLCAN], taken={"body"}, only_name="body")] == [None, "slcan0"]
    assert [row.bus for row in listing([SLCAN, link("can0")], only_name="body")] == ["slcan0", "can0"]
    known = listing([SLCAN, link("can0")], configured=["drive", None], only_name="body")
    assert [(row.bus, row.configured) for row in known] == [("drive", True), ("body", False)]
    assert list(tomllib.loads(toml(known))["bus"]) == ["body"]


def test_rows_and_json_tell_the_same() -> None:
    for row in listing([SLCAN, HELD], configured=["drive", None]):
        assert len(cells(row)) == len(HEADER)
        told = as_json(row)
        assert cells(row)[:3] == (told["bus"] or "-", told["interface"], told["channel"])
    assert toml(listing([HELD])) == ""


def test_the_bus_that_an_adapter_is_already(tmp_path: Path) -> None:
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
    assert bus_of(Found("pcan", "PCAN_USBBUS1", "", "", {"channel": "PCAN_USBBUS1"}), buses) == "found"
    assert bus_of(HELD, buses) is None


def test_keys_that_no_bus_can_have_are_left_out() -> None:
    fast = links.described(CAN0._replace(mtu=72, data_bittiming=Bittiming(10_000_000, 0, 0)))
    assert sound(fast).keys == {"channel": "can0", "bitrate": 250_000, "fd": True}
    assert sound(link("a-name-of-16-byt")).keys is None
    assert sound(Found("wonder", "0", "", "detected", {"channel": 0})).keys is None
    assert sound(HELD) == HELD
