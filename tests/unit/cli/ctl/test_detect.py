"""`cancorderctl detect` on a machine without adapters, and its report."""

import pytest

from cancorderd.adapters import detection
from cancorderd.adapters.scan import FoundAdapter, ScanResult
from cancorderd.cli import cancorderctl
from cancorderd.cli.ctl.adapter_rows import report, rows_of


def test_checks_are_suggested_if_nothing_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        detection, "detect", lambda _: ScanResult([], ["gs_usb adapters could not be searched for: x."])
    )
    assert cancorderctl.main(["detect", "--config", "/nowhere"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "gs_usb adapters could not be searched for: x." in output.err
    for word in ("No CAN adapter was found", "lsusb", "modprobe", "dialout"):
        assert word in output.err
    assert cancorderctl.main(["detect", "--config", "/nowhere", "--json"]) == 1
    assert '"adapters": []' in capsys.readouterr().out


def test_report() -> None:
    held = FoundAdapter("gs_usb", "0031", "candleLight", "held by the kernel as can0", None, "use can0")
    link = FoundAdapter(
        "socketcan", "can0", "gs_usb", "up, 250000 bit/s", {"channel": "can0", "bitrate": 250_000}
    )
    assert report(rows_of([link, held])) == (
        "BUS   INTERFACE  CHANNEL  STATE                       ADAPTER\n"
        "can0  socketcan  can0     up, 250000 bit/s            gs_usb\n"
        "-     gs_usb     0031     held by the kernel as can0  candleLight\n"
        "\n"
        "0031: use can0\n"
        "\n"
        "# For /etc/cancorder.toml (or --write NAME). Without bitrate, that of [defaults] applies, or 500000.\n"
        "\n"
        "[bus.can0]\n"
        'interface = "socketcan"\n'
        'channel = "can0"\n'
        "bitrate = 250000\n"
    )
