"""`cancorderctl detect` where nothing is there: a machine that the tests do not have for certain."""

import pytest

from cancorderd.cli import cancorderctl, detect
from cancorderd.detect.found import Found, listing
from cancorderd.detect.look import Sight


def test_nothing_found_says_what_to_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        detect, "look", lambda *_, **__: Sight([], ["gs_usb adapters were not looked for: x."])
    )
    assert cancorderctl.main(["detect", "--config", "/nowhere"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "gs_usb adapters were not looked for: x." in told.err
    for word in ("No CAN adapter was found", "lsusb", "modprobe", "dialout"):
        assert word in told.err
    assert cancorderctl.main(["detect", "--config", "/nowhere", "--json"]) == 1
    assert '"adapters": []' in capsys.readouterr().out


def test_report() -> None:
    held = Found("gs_usb", "0031", "candleLight", "held by the kernel as can0", None, "use can0")
    link = Found("socketcan", "can0", "gs_usb", "up, 250000 bit/s", {"channel": "can0", "bitrate": 250_000})
    assert detect.report(listing([link, held])) == (
        "BUS   INTERFACE  CHANNEL  STATE                       ADAPTER\n"
        "can0  socketcan  can0     up, 250000 bit/s            gs_usb\n"
        "-     gs_usb     0031     held by the kernel as can0  candleLight\n"
        "\n"
        "0031: use can0\n"
        "\n"
        "# For /etc/cancorder.toml (or --write NAME). A bitrate that is missing is that of [defaults], or 500000.\n"
        "\n"
        "[bus.can0]\n"
        'interface = "socketcan"\n'
        'channel = "can0"\n'
        "bitrate = 250000\n"
    )
