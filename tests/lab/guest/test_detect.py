"""`cancorderctl detect` and buses with interface = "auto" on a real SocketCAN."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

from tests.lab.guest.interfaces import add_vcan, ip, vcan
from tests.lab.guest.traffic import Traffic
from tests.support.harness import Client, Daemon, poll

if TYPE_CHECKING:
    from pathlib import Path

AUTO = '[bus.any]\ninterface = "auto"\n'


def test_detect_lists_the_interfaces_and_writes_them(tmp_path: Path, vcan0: str) -> None:
    daemon = Daemon(tmp_path, "")
    with vcan("vcan1"):
        ip("link set vcan1 down")
        done = daemon.ctl("detect", "--config", str(daemon.file))
        assert done.returncode == 0, done.stderr
        lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
        assert f"{vcan0} socketcan {vcan0} up, FD virtual, without hardware" in lines
        assert "vcan1: bring it up: ip link set vcan1 up" in done.stdout
        buses = tomllib.loads(done.stdout.partition("\n# ")[2].partition("\n")[2])["bus"]
        assert buses["vcan0"] == {"interface": "socketcan", "channel": "vcan0", "fd": True}
    folder = tmp_path / "d"
    done = daemon.ctl(
        "detect", "--json", "--write", "body", "--folder", str(folder), "--config", str(daemon.file)
    )
    assert [adapter["bus"] for adapter in json.loads(done.stdout)["adapters"]] == ["body"]
    daemon.file.write_text(f'include = ["{folder}/*.toml"]\n{daemon.file.read_text()}')
    with daemon, Traffic(vcan0), Client(daemon.wait_port("body")) as client:
        client.wait_frames(10)


def test_auto_bus_waits_and_takes_the_first_adapter_that_appears(tmp_path: Path) -> None:
    with Daemon(tmp_path, AUTO) as daemon:
        bus = daemon.wait_state("any", "waiting")
        assert "there is no adapter" in bus["reason"]
        with Client(bus["port"]) as client, vcan("vcan0"):
            with Traffic("vcan0"):
                client.wait_frames(10)
            bus = daemon.wait_state("any", "running")
            assert bus["details"]["found"] == "socketcan vcan0"
            assert "socketcan vcan0" in daemon.ctl("status").stdout
            daemon.wait_log("any: found socketcan vcan0")
            ip("link del vcan0")
            daemon.wait_state("any", "waiting")
            add_vcan("vcan0")
            with Traffic("vcan0"):
                client.wait_more()
            assert not client.ended


def test_auto_bus_leaves_the_adapters_of_other_buses_alone(tmp_path: Path, vcan0: str) -> None:
    named = f'[bus.named]\ninterface = "socketcan"\nchannel = "{vcan0}"\n'
    other = '[bus.other]\ninterface = "auto"\n'
    with Daemon(tmp_path, AUTO + other + named) as daemon:
        daemon.wait_state("named", "running")
        assert "there is no adapter" in daemon.wait_state("any", "waiting")["reason"]
        daemon.wait_state("other", "waiting")
        daemon.write(AUTO + other)
        assert daemon.ctl("reload").returncode == 0
        names = {"any", "other"}
        taker = poll(
            lambda: next((n for n in names if daemon.bus(n)["state"] == "running"), None), what="a taker"
        )
        (loser,) = names - {str(taker)}
        assert 'another bus with interface = "auto" has it' in daemon.wait_state(loser, "waiting")["reason"]
