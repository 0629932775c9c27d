"""`cancorderctl detect` on a machine that may have adapters of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.config.loading import load
from tests.support.harness import ROOT
from tests.support.slcan_thread import SlcanAdapter

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
    """Run the command with a configuration in the test's folder."""
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


def slcan(output: str, port: Path) -> dict[str, Any]:
    """Return the adapter at `port`."""
    adapters: list[dict[str, Any]] = json.loads(output)["adapters"]
    (adapter,) = (adapter for adapter in adapters if adapter["channel"] == str(port))
    return adapter


def test_probed_adapter_is_listed_as_a_row_and_as_a_table(detect: Detect, port: Path) -> None:
    done = detect("--probe", str(port))
    assert done.returncode == 0
    table, _, text = done.stdout.partition("\n# ")
    assert table.startswith("BUS  ")
    assert f"slcan      {port}  answers V1013  serial port" in table
    buses = tomllib.loads("# " + text)["bus"]
    assert {"interface": "slcan", "channel": str(port)} in buses.values()


def test_write_makes_a_file_for_the_configuration_once(detect: Detect, port: Path, tmp_path: Path) -> None:
    done = detect("--probe", str(port), "--json", "--write", "body")
    assert done.returncode == 0, done.stderr
    name = slcan(done.stdout, port)["bus"]
    file = tmp_path / "cancorder.d" / "body.toml"
    assert f"Wrote {file}: " in done.stderr
    assert "does not include it" not in done.stderr
    buses = {bus.name: bus for bus in load(tmp_path / "cancorder.toml").buses}
    assert (buses[name].interface, buses[name].channel) == ("slcan", str(port))
    written = file.read_bytes()

    again = detect("--probe", str(port), "--json", "--write", "body")
    assert again.returncode == 1
    assert slcan(again.stdout, port) | {"bus": name, "configured": True} == slcan(again.stdout, port)
    assert "every adapter that is ready is a bus already" in again.stderr
    assert file.read_bytes() == written


def test_write_leaves_an_existing_file_alone(detect: Detect, port: Path, tmp_path: Path) -> None:
    file = tmp_path / "cancorder.d" / "body.toml"
    file.parent.mkdir()
    file.write_text("# mine\n")
    done = detect("--probe", str(port), "--write", "body")
    assert done.returncode == 1
    assert f"{file} exists already. Choose another name, or remove it first." in done.stderr
    assert file.read_text() == "# mine\n"


def test_write_removes_a_file_with_which_the_configuration_would_not_load(
    detect: Detect, port: Path, tmp_path: Path
) -> None:
    main = tmp_path / "cancorder.toml"
    # Together with these defaults, the new bus is invalid.
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


def test_write_reports_that_the_configuration_does_not_include_the_file(
    detect: Detect, port: Path, tmp_path: Path
) -> None:
    (tmp_path / "cancorder.toml").write_text("")
    done = detect("--probe", str(port), "--write", "body")
    assert done.returncode == 0
    assert (
        f'does not include it. Add to its beginning: include = ["{tmp_path}/cancorder.d/*.toml"]'
        in done.stderr
    )


def test_invalid_name_is_refused(detect: Detect) -> None:
    done = detect("--write", "../body")
    assert done.returncode == 2
    assert "'../body' cannot be the name of a bus and its file" in done.stderr


AS_NOBODY = """
import os, sys
from cancorderd.cli import cancorderctl
from cancorderd.adapters import detection
from cancorderd.adapters.scan import FoundAdapter, ScanResult
link = FoundAdapter("socketcan", "can0", "", "up", {"channel": "can0"})
detection.detect = lambda _: ScanResult([link], [])
cancorderctl.main(sys.argv[1:-2])  # imports the modules that nobody cannot read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(cancorderctl.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_write_without_permission_names_the_remedy(detect: Detect, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o711)
    done = detect("--write", "body", code=AS_NOBODY)
    assert done.returncode == 4, done.stderr
    file = tmp_path / "cancorder.d" / "body.toml"
    assert f"no permission to write {file}. Run it again with sudo." in done.stderr


def test_interfaces_without_hardware_are_listed_with_all(detect: Detect) -> None:
    done = detect("--all", "--json")
    assert done.returncode == 0
    adapters = {adapter["interface"]: adapter for adapter in json.loads(done.stdout)["adapters"]}
    assert adapters["virtual"]["state"] == "without hardware"
    default = json.loads(detect("--json").stdout)["adapters"]
    assert "virtual" not in {adapter["interface"] for adapter in default}
