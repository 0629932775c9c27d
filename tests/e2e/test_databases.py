"""`cancorderctl dump --decode` with databases that are not as they should be."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from cancorderd.protocol.frame import EXTENDED, Frame
from cancorderd.protocol.packets import encode_all
from cancorderd.python_command import python_command
from tests.support.harness import PATIENCE_S, ROOT, Daemon
from tests.support.scripted_logger import ScriptedLogger

if TYPE_CHECKING:
    from pathlib import Path

DBC = """VERSION ""

BU_: A
BO_ 291 Over: 8 A
 SG_ Wide : 0|16@1+ (1,0) [0|0] "" A
 SG_ Low : 0|8@1+ (1,0) [0|0] "" A

BO_ 291 Again: 8 A
 SG_ Late : 0|16@1+ (1,0) [0|0] "" A

BO_ 2364540158 EEC1: 8 A
 SG_ Speed : 24|16@1+ (0.125,0) [0|0] "rpm" A

"""
FRAMES = [
    Frame(1_700_000_000_000_000, 0x123, 0, bytes(range(1, 9))),
    Frame(1_700_000_000_000_000, 0x0CF00417, EXTENDED, bytes.fromhex("0000004038000000")),
]


def dump(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*python_command("cancorderd.cli.cancorderctl"), "dump", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S, check=False)


def test_overlapping_signals_and_parameter_groups_are_decoded_with_one_notice(tmp_path: Path) -> None:
    path = tmp_path / "car.dbc"
    path.write_text(DBC)
    with ScriptedLogger(encode_all(FRAMES)) as logger:
        place = f"127.0.0.1:{logger.port}"
        done = dump(place, "--json", "-n", "2", "--decode", str(path), "--j1939")
    (notice,) = done.stderr.splitlines()
    assert notice.startswith(f"cancorderctl: {path}: signals of 1 of 3 messages overlap or do not fit: ")
    assert [json.loads(line)["signals"] for line in done.stdout.splitlines()] == [
        {"Wide": {"value": 513}, "Low": {"value": 1}},
        {"Speed": {"value": 1800.0, "unit": "rpm"}},
    ]


def test_a_bus_with_a_database_is_decoded_without_being_asked(tmp_path: Path) -> None:
    (tmp_path / "car.dbc").write_text(DBC)
    log = tmp_path / "drive.log"
    log.write_text("(1700000000.000000) can0 123#0102030405060708\n")
    bus = '[bus.{}]\ninterface = "replay"\nfile = "drive.log"\nloop = true\n'
    with Daemon(tmp_path, bus.format("body") + 'database = "car.dbc"\n' + bus.format("bare")) as daemon:
        daemon.wait_state("body", "running")
        assert daemon.bus("body")["database"] == str(tmp_path / "car.dbc")
        assert "database" not in daemon.bus("bare")
        done = daemon.ctl("dump", "body", "-n", "1")
        assert done.stdout.endswith(" :: Over(Wide: 513, Low: 1)\n")
        assert "signals" not in daemon.ctl("dump", "bare", "--json", "-n", "1").stdout
        daemon.write(bus.format("body") + 'database = "gone.dbc"\n')
        assert daemon.ctl("reload").returncode == 0
        done = daemon.ctl("dump", "body", "-n", "1")
        assert (done.returncode, "gone.dbc: No such file" in done.stderr) == (0, True)
        assert done.stdout.endswith("08\n")
        daemon.write(bus.format("body") + 'database = "car.txt"\n')
        assert "ends in none of .dbc .kcd .sym .arxml. Use a database" in daemon.ctl("reload").stderr


def test_j1939_without_a_database_is_wrong_usage() -> None:
    done = dump("127.0.0.1:1", "--j1939")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(
        "error: --j1939 says how to look frames up in a database. Add --decode FILE.\n"
    )
