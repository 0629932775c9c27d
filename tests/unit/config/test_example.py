"""etc/cancorder.toml: its examples are right, and it shows every key."""

import re
from pathlib import Path

import pytest

from cancorderd.adapters import registry
from cancorderd.config.bus_settings import Filter
from cancorderd.config.configuration import Configuration, DaemonSettings
from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.config.loading import load
from cancorderd.config.record_settings import RecordSettings
from cancorderd.config.schema import Settings, keys
from cancorderd.config.web_settings import WebSettings

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "etc" / "cancorder.toml"
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
    assert configuration.daemon == DaemonSettings()


@pytest.mark.parametrize("name", [name for name, _ in BLOCKS])
def test_each_example_bus_is_right_when_switched_on(name: str, tmp_path: Path) -> None:
    (lines,) = (lines for block, lines in BLOCKS if block == name)
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
    kinds: list[type[Settings]] = [*registry.settings_classes(), DaemonSettings, Filter]
    kinds += [RecordSettings, WebSettings, ForwardSettings]
    every = {key for kind in kinds for key in keys(kind)}
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


PAGES = [ROOT / "README.md", *sorted((ROOT / "contrib/guide").rglob("*.md"))]
PAGE_BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)} {number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("block", PAGE_BLOCKS)
def test_examples_of_the_readme_and_the_guide_are_right(block: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, with_files(tmp_path, block)).buses


def with_files(folder: Path, text: str) -> str:
    """Return the text with files that exist in place of those in /etc/cancorder."""

    def made(found: re.Match[str]) -> str:
        file = folder / found[1]
        file.touch(0o600)
        return f'"{file}"'

    return re.sub(r'"/etc/cancorder/([^/"*]+)"', made, text)


def test_every_interface_has_an_example_in_the_guide() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert set(re.findall(r'^interface = "(\w+)"', text, re.MULTILINE)) >= set(registry.ADAPTERS)
