"""`cancorderctl detect` and interface = "auto" with gs_usb adapters, free and held by the kernel."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

from cancorderd.adapters import detection
from cancorderd.adapters.gs_usb import scan
from cancorderd.adapters.scan import ScanOptions
from tests.support.harness import ROOT, Client
from tests.usb.guest.quick_daemon import QuickDaemon

if TYPE_CHECKING:
    from pathlib import Path

    from tests.usb.guest.plugged import Plug

SLOWLY_S = 300


def detect(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cancorderd.cli.cancorderctl", "detect", "--config", "/nowhere", *options],
        capture_output=True, text=True, cwd=ROOT, timeout=SLOWLY_S, check=False,
    )  # fmt: skip


def test_adapters_are_listed_by_serial_number_and_an_auto_bus_takes_the_first(
    plug: Plug, tmp_path: Path
) -> None:
    plug("--serial", "LEFT", "--rate", "50")
    plug("--serial", "RIGHT")
    done = detect("--json", "--write", "usb", "--folder", str(tmp_path / "d"))
    adapters: list[dict[str, Any]] = json.loads(done.stdout)["adapters"]
    # The machine's two CAN cards are listed, too.
    found = {
        (adapter["channel"], adapter["state"]) for adapter in adapters if adapter["interface"] == "gs_usb"
    }
    assert found == {
        ("LEFT", "ready"),
        ("RIGHT", "ready"),
    }
    tables = tomllib.loads((tmp_path / "d" / "usb.toml").read_text())["bus"].values()
    assert {table["serial"] for table in tables if table["interface"] == "gs_usb"} == {"LEFT", "RIGHT"}

    buses = '[bus.any]\ninterface = "auto"\n[bus.right]\ninterface = "gs_usb"\nserial = "RIGHT"\n'
    with QuickDaemon(tmp_path, buses) as daemon, Client(daemon.wait_port("any")) as client:
        client.wait_frames(20)
        assert daemon.wait_state("any", "running")["details"]["found"] == "gs_usb LEFT"
        daemon.wait_state("right", "running")


def test_adapter_of_the_kernel_is_listed_with_its_interface(kernel_driver: None, plug: Plug) -> None:
    adapter = plug("--serial", "KERNELS")

    link = adapter.wait_link()
    (found,) = scan.scan(ScanOptions()).found
    assert (found.state, found.keys) == (f"held by the kernel as {link}", None)
    (socketcan,) = (each for each in detection.detect(ScanOptions()).found if each.channel == link)
    assert (socketcan.interface, socketcan.state.partition(",")[0]) == ("socketcan", "down")
    assert "KERNELS" in socketcan.adapter
