"""etc/cancorder.toml: what it shows is right, and it shows every key."""

import re
from pathlib import Path

import pytest

from cancorderd.config.interfaces import SECTIONS
from cancorderd.config.load import load
from cancorderd.config.model import Configuration, Daemon, Filter, Record
from cancorderd.config.section import Section

EXAMPLE = Path(__file__).parents[2] / "etc" / "cancorder.toml"
TEXT = EXAMPLE.read_text()
SWITCHED_OFF = re.compile(r"^#(?=\S)", re.MULTILINE)
BLOCKS = re.findall(r"^#\[bus\.(\w+)\]\n((?:#.*\n)*)", TEXT, re.MULTILINE)
LINES = re.findall(r"^#(\S.*)$", TEXT.partition("\n[bus.")[0], re.MULTILINE)


def loaded(folder: Path, text: str) -> Configuration:
    file = folder / "cancorder.toml"
    file.write_text(text)
    return load(file)


def test_serves_one_simulated_bus_as_it_stands(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, TEXT)
    assert [(bus.name, bus.interface) for bus in configuration.buses] == [("simulation", "mock")]
    assert configuration.daemon == Daemon()


@pytest.mark.parametrize("name", [name for name, _ in BLOCKS])
def test_each_example_bus_is_right_when_switched_on(name: str, tmp_path: Path) -> None:
    (lines,) = (lines for each, lines in BLOCKS if each == name)
    text = TEXT + f"\n[bus.{name}]\n" + SWITCHED_OFF.sub("", lines)
    assert [bus.name for bus in loaded(tmp_path, text).buses] == ["simulation", name]


@pytest.mark.parametrize("line", LINES)
def test_each_setting_is_right_when_switched_on(line: str, tmp_path: Path) -> None:
    loaded(tmp_path, TEXT.replace(f"\n#{line}\n", f"\n{line}\n"))


def test_everything_is_right_together(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, SWITCHED_OFF.sub("", TEXT))
    assert [bus.name for bus in configuration.buses] == ["simulation", *(name for name, _ in BLOCKS)]
    assert {bus.interface for bus in configuration.buses} >= {"socketcan", "slcan", "replay", "gs_usb"}


def test_every_key_is_shown() -> None:
    sections: list[type[Section]] = [*SECTIONS, Daemon, Filter, Record]
    every = {key for section in sections for key in section.key_fields()}
    shown = set(re.findall(r"\b(\w+) = ", TEXT))
    assert not every - shown


def test_values_shown_as_defaults_are_the_defaults(tmp_path: Path) -> None:
    values = ("listen", "max_clients", "client_backlog", "slow_client", "zeroconf", "watchdog", "enabled")
    on = TEXT
    for line in LINES:
        if line.split(" = ")[0] in (*values, "listen_only", "control_socket", "state_dir"):
            on = on.replace(f"\n#{line}\n", f"\n{line}\n")
    assert on != TEXT
    assert loaded(tmp_path, on) == loaded(tmp_path, TEXT)


README_BLOCKS = re.findall(
    r"```toml\n(.*?)```", EXAMPLE.parents[1].joinpath("README.md").read_text(), re.DOTALL
)


@pytest.mark.parametrize("block", README_BLOCKS, ids=[block.split("\n")[0] for block in README_BLOCKS])
def test_examples_of_the_readme_are_right(block: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, block).buses
