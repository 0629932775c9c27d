"""Each kind of adapter in words: links, serial ports, gs_usb, what python-can tells."""

import pytest

from cancorderd.detect import links, python_can, serial_ports, usb_adapters
from cancorderd.detect.configured import sound
from cancorderd.detect.serial_ports import Answer, Port
from cancorderd.detect.usb_adapters import Holder
from cancorderd.sources.can_link_messages import Bittiming, Link
from cancorderd.sources.usb_devices import Adapter

CAN0 = Link(
    3, "can0", True, True, True, 16, "can", controller="error-active", bittiming=Bittiming(250_000, 0, 0)
)
VCAN0 = Link(4, "vcan0", True, True, True, 16, "vcan")
LINKS = [
    (CAN0, "up, 250000 bit/s", {"channel": "can0", "bitrate": 250_000}, ""),
    (
        CAN0._replace(mtu=72, data_bittiming=Bittiming(2_000_000, 0, 0), controller="bus-off"),
        "up, 250000 bit/s, FD 2000000 bit/s, bus-off",
        {"channel": "can0", "bitrate": 250_000, "fd": True, "data_bitrate": 2_000_000},
        "",
    ),
    (
        CAN0._replace(up=False, bittiming=None, controller="stopped"),
        "down",
        {"channel": "can0"},
        "bring it up: ip link set can0 up type can bitrate 500000, or write configure = true in its bus",
    ),
    (VCAN0._replace(mtu=72), "up, FD", {"channel": "vcan0", "fd": True}, ""),
    (VCAN0._replace(up=False), "down", {"channel": "vcan0"}, "bring it up: ip link set vcan0 up"),
]


@pytest.mark.parametrize(("link", "state", "keys", "remedy"), LINKS)
def test_links(link: Link, state: str, keys: dict[str, object], remedy: str) -> None:
    found = links.described(link)
    assert (found.state, found.keys, found.remedy) == (state, keys, remedy)


def test_links_come_real_ones_first_and_by_number() -> None:
    there = [VCAN0, *(CAN0._replace(name=name) for name in ("can10", "can2", "slcan0"))]
    assert [link.name for link in links.in_order(there)] == ["can2", "can10", "slcan0", "vcan0"]


CANABLE = Port("/dev/serial/by-id/usb-x", "/dev/ttyACM0", (0x16D0, 0x117E), "CANable2 b158aa7")
USBTIN = Port("/dev/ttyACM1", "/dev/ttyACM1", (0x04D8, 0x000A))
OTHER = Port("/dev/ttyACM2", "/dev/ttyACM2", (0x1A86, 0x7523), "USB Serial")
PLAIN = Port("/dev/ttyS0", "/dev/ttyS0", asked_for=True)
V = Answer("V1013")
MUTE = Answer(None)
PORTS = [
    pytest.param(CANABLE, None, "there", True, id="known by its id"),
    pytest.param(OTHER._replace(product="USBtin"), None, "there", True, id="known by its name"),
    pytest.param(CANABLE, V, "answers V1013", True, id="known, answers"),
    pytest.param(CANABLE, MUTE, "does not answer to V", True, id="known, mute"),
    pytest.param(
        CANABLE, Answer(None, "in use by another program"), "in use by another program", True, id="taken"
    ),
    pytest.param(CANABLE._replace(accessible=False), None, "no permission", True, id="forbidden"),
    pytest.param(USBTIN, None, "perhaps", False, id="shared id"),
    pytest.param(USBTIN, V, "answers V1013", True, id="shared id, answers"),
    pytest.param(USBTIN, MUTE, "does not answer to V", False, id="shared id, mute"),
    pytest.param(OTHER, None, None, False, id="another device"),
    pytest.param(OTHER, MUTE, None, False, id="another device, mute"),
    pytest.param(OTHER, V, "answers V1013", True, id="another device, answers"),
    pytest.param(PLAIN, MUTE, "does not answer to V", False, id="asked for, mute"),
    pytest.param(PLAIN, V, "answers V1013", True, id="asked for, answers"),
]


@pytest.mark.parametrize(("port", "answer", "state", "ready"), PORTS)
def test_serial_ports(port: Port, answer: Answer | None, state: str | None, ready: bool) -> None:
    found = serial_ports.described(port, answer)
    assert (found.state if found else None) == state
    assert (found.keys if found else None) == ({"channel": port.path} if ready else None)


VERSIONS = [
    (b"V1013\r", "V1013"),
    (b"\a\aV1013\r", "V1013"),
    (b"t1008AABBCCDDEEFF0011\rV1013\rt1230\r", "V1013"),
    (b"16e7497 github.com/normaldotcom/canable2.git\r", "16e7497 github.com/normaldotcom/canable2.git"),
    (b"V\rV\r", None),  # a device that echoes
    (b"\a", None),
    (b"t1230\r", None),
    (b"$GPGGA,V12\r\n", None),
    (b"\xff\xfeV1\xff\r", None),
]


@pytest.mark.parametrize(("text", "expected"), VERSIONS)
def test_answers_to_v(text: bytes, expected: str | None) -> None:
    assert serial_ports.version(text) == expected


ADAPTER = Adapter(None, 1, 5, (2, 3), "0031", 0x1D50, 0x606F)
ADAPTERS = [
    (ADAPTER, Holder(), "ready", {"serial": "0031"}, ""),
    (ADAPTER._replace(serial=None), Holder(), "ready", {"index": 4}, ""),
    (
        ADAPTER,
        Holder(links=("can0", "can1")),
        "held by the kernel as can0, can1",
        None,
        'use interface = "socketcan", channel = "can0"',
    ),
    (
        ADAPTER,
        Holder(forbidden=True),
        "no permission",
        {"serial": "0031"},
        "/dev/bus/usb/001/005",
    ),
]


@pytest.mark.parametrize(("adapter", "holder", "state", "keys", "remedy"), ADAPTERS)
def test_gs_usb_adapters(
    adapter: Adapter, holder: Holder, state: str, keys: dict[str, object] | None, remedy: str
) -> None:
    found = usb_adapters.described(adapter, 4, "candleLight", holder)
    assert (found.state, found.keys) == (state, keys)
    assert remedy in found.remedy
    assert found.adapter == "candleLight (USB 1d50:606f, at 1-2.3)"


CONFIGURATIONS = [
    ({"interface": "pcan", "channel": "PCAN_USBBUS1", "device_name": "PCAN-USB"}, {}),
    ({"interface": "kvaser", "channel": 0, "serial": 5}, {}),
    ({"interface": "neovi", "channel": 1, "serial": "AB"}, {"options": {"serial": "AB"}}),
    ({"interface": "vector", "channel": 0, "serial": None}, {}),
]


@pytest.mark.parametrize(("told", "more"), CONFIGURATIONS)
def test_what_python_can_detects(told: dict[str, object], more: dict[str, object]) -> None:
    found = python_can.described(told)
    assert found
    assert found.channel == str(told["channel"])
    assert found.keys == {"channel": told["channel"], **more}
    assert sound(found) == found


def test_a_detected_configuration_without_a_channel_is_left_out() -> None:
    assert python_can.described({"interface": "pcan", "id": 5}) is None
