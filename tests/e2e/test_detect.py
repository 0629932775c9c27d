"""`cancorderctl detect` as a user runs it: on a machine that may have adapters of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.config.load import load
from tests.adapters.slcan_thread import SlcanAdapter
from tests.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Detect = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Path]:
    """A serial port with an slcan adapter behind it."""
    with SlcanAdapter(tmp_path / "tty"):
        yield tmp_path / "tty"


@pytest.fixture
def detect(tmp_path: Path) -> Detect:
    """Runs the command on a configuration in the test's folder."""
    folder = tmp_path / "cancorder.d"
    main = tmp_path / "cancorder.toml"
    main.write_text('include = ["cancorder.d/*.toml"]\n[defaults]\nzeroconf = false\n')

    def run(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
        command = ["-c", code] if code else ["-m", "cancorderd.cli.cancorderctl"]
        options = ["--folder", str(folder), "--config", str(main)]
        return subprocess.run(
            [sys.executable, *command, "detect", *options, *arguments],
            capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
        )  # fmt: skip

    return run


def slcan(told: str, port: Path) -> dict[str, Any]:
    (one,) = (each for each in json.loads(told)["adapters"] if each["channel"] == str(port))
    adapter: dict[str, Any] = one
    return adapter


def test_a_probed_adapter_comes_as_a_row_and_as_a_table(detect: Detect, port: Path) -> None:
    done = detect("--probe", str(port))
    assert done.returncode == 0
    table, _, text = done.stdout.partition("\n# ")
    assert table.startswith("BUS  ")
    assert f"slcan      {port}  answers V1013  serial port" in table
    buses = tomllib.loads("# " + text)["bus"]
    assert {"interface": "slcan", "channel": str(port)} in buses.values()


def test_write_makes_a_file_that_the_configuration_takes_in_once(
    detect: Detect, port: Path, tmp_path: Path
) -> None:
    done = detect("--probe", str(port), "--json", "--write", "body")
    assert done.returncode == 0, done.stderr
    name = slcan(done.stdout, port)["bus"]
    file = tmp_path / "cancorder.d" / "body.toml"
    assert f"Wrote {file}: " in done.stderr
    assert "cancorderctl: " not in done.stderr
    buses = {bus.name: bus for bus in load(tmp_path / "cancorder.toml").buses}
    assert (buses[name].interface, buses[name].channel) == ("slcan", str(port))
    written = file.read_bytes()

    again = detect("--probe", str(port), "--json", "--write", "body")
    assert again.returncode == 1
    assert slcan(again.stdout, port) | {"bus": name, "configured": True} == slcan(again.stdout, port)
    assert "no adapter is ready that is not a bus already" in again.stderr
    assert file.read_bytes() == written


def test_write_never_touches_a_file_that_exists(detect: Detect, port: Path, tmp_path: Path) -> None:
    file = tmp_path / "cancorder.d" / "body.toml"
    file.parent.mkdir()
    file.write_text("# mine\n")
    done = detect("--probe", str(port), "--write", "body")
    assert done.returncode == 1
    assert f"{file} exists already. Choose another name, or remove it first." in done.stderr
    assert file.read_text() == "# mine\n"


def test_write_leaves_nothing_that_would_keep_the_configuration_from_loading(
    detect: Detect, port: Path, tmp_path: Path
) -> None:
    main = tmp_path / "cancorder.toml"
    # Two of the new bus's keys come from here, and together they are wrong for it.
    main.write_text(
        'include = ["cancorder.d/*.toml"]\n[defaults]\nport = 42420\n[bus.a]\ninterface = "mock"\n'
    )
    done = detect("--probe", str(port), "--write", "body")
    assert done.returncode == 1
    file = tmp_path / "cancorder.d" / "body.toml"
    assert "is also the port of bus.a" in done.stderr
    assert f"{file} was not written." in done.stderr
    assert not file.exists()
    assert [bus.name for bus in load(main).buses] == ["a"]


def test_write_says_where_the_file_is_not_taken_in(detect: Detect, port: Path, tmp_path: Path) -> None:
    (tmp_path / "cancorder.toml").write_text("")
    done = detect("--probe", str(port), "--write", "body")
    assert done.returncode == 0
    assert (
        f'does not take it in. Add to its beginning: include = ["{tmp_path}/cancorder.d/*.toml"]'
        in done.stderr
    )


def test_a_name_that_no_bus_can_have_is_refused_at_once(detect: Detect) -> None:
    done = detect("--write", "../body")
    assert done.returncode == 2
    assert "'../body' cannot be the name of a bus and its file" in done.stderr


AS_NOBODY = """
import os, sys
from cancorderd.cli import cancorderctl, detect
from cancorderd.detect.found import Found
from cancorderd.detect.look import Sight
link = Found("socketcan", "can0", "", "up", {"channel": "can0"})
detect.look = lambda *_, **__: Sight([link], [])
cancorderctl.main(sys.argv[1:-2])  # loads all that nobody may not
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(cancorderctl.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_without_permission_write_says_what_to_do(detect: Detect, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o711)
    done = detect("--write", "body", code=AS_NOBODY)
    assert done.returncode == 4, done.stderr
    file = tmp_path / "cancorder.d" / "body.toml"
    assert f"no permission to write {file}. Run it again with sudo." in done.stderr


def test_interfaces_without_hardware_come_when_asked_for(detect: Detect) -> None:
    done = detect("--all", "--json")
    assert done.returncode == 0
    told = {each["interface"]: each for each in json.loads(done.stdout)["adapters"]}
    assert told["virtual"]["state"] == "without hardware"
    assert "virtual" not in {each["interface"] for each in json.loads(detect("--json").stdout)["adapters"]}
