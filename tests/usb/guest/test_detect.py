"""`cancorderctl detect` and a searching bus with gs_usb adapters: by libusb, and held by the kernel."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

from cancorderd.detect import look, usb_adapters
from tests.harness import ROOT, Client, poll
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


def test_adapters_come_with_their_serial_numbers_and_a_searching_bus_takes_the_first(
    plug: Plug, tmp_path: Path
) -> None:
    plug("--serial", "LEFT", "--rate", "50")
    plug("--serial", "RIGHT")
    done = detect("--json", "--write", "usb", "--folder", str(tmp_path / "d"))
    told: list[dict[str, Any]] = json.loads(done.stdout)["adapters"]
    # The machine's two CAN cards are told of, too.
    assert {(one["channel"], one["state"]) for one in told if one["interface"] == "gs_usb"} == {
        ("LEFT", "ready"),
        ("RIGHT", "ready"),
    }
    tables = tomllib.loads((tmp_path / "d" / "usb.toml").read_text())["bus"].values()
    assert {one["serial"] for one in tables if one["interface"] == "gs_usb"} == {"LEFT", "RIGHT"}

    buses = '[bus.any]\ninterface = "auto"\n[bus.right]\ninterface = "gs_usb"\nserial = "RIGHT"\n'
    with QuickDaemon(tmp_path, buses) as daemon, Client(daemon.wait_port("any")) as client:
        client.wait_frames(20)
        assert daemon.wait_state("any", "running")["details"]["found"] == "gs_usb LEFT"
        daemon.wait_state("right", "running")


def test_an_adapter_of_the_kernel_is_told_with_its_interface(kernel_driver: None, plug: Plug) -> None:
    adapter = plug("--serial", "KERNELS")

    def links() -> list[str]:
        return [one.name for one in adapter.wait_there().glob("*:1.0/net/*")]

    (link,) = poll(links, what="the kernel's interface")
    (found,) = usb_adapters.look()
    assert (found.state, found.keys) == (f"held by the kernel as {link}", None)
    (socketcan,) = (one for one in look.look().found if one.channel == link)
    assert (socketcan.interface, socketcan.state.partition(",")[0]) == ("socketcan", "down")
    assert "KERNELS" in socketcan.adapter
