from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.failures import SettingsRefused
from cancorderd.adapters.slcan.commands import meaning, setup_commands, sja1000_registers

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("bitrate", "registers"),
    [(125_000, "031C"), (250_000, "011C"), (500_000, "001C"), (1_000_000, "0014"), (7, None)],
)
def test_registers_of_the_sja1000_are_as_in_the_manual(bitrate: int, registers: str | None) -> None:
    found = sja1000_registers(bitrate, None)
    assert (found and f"{int(found, 16) & 0x3FFF:04X}") == registers


@pytest.mark.parametrize(
    ("keys", "commands"),
    [
        ({}, [b"S6", b"Z1", b"V", b"N", b"O"]),
        ({"bitrate": 10_000, "listen_only": True}, [b"S0", b"Z1", b"V", b"N", b"L"]),
        ({"btr": "031C", "hardware_timestamps": False}, [b"s031C", b"Z0", b"V", b"N", b"O"]),
        ({"fd": True, "data_bitrate": 2_000_000}, [b"S6", b"Y2", b"Z1", b"V", b"N", b"O"]),
        ({"fd": True}, [b"S6", b"Z1", b"V", b"N", b"O"]),
    ],
)
def test_setup_commands(
    make_settings: Callable[..., Any], keys: dict[str, Any], commands: list[bytes]
) -> None:
    settings = make_settings("slcan", channel="/dev/ttyACM0", **keys)
    assert [command.text for command in setup_commands(settings)] == commands


def test_bitrates_without_a_command_are_refused(make_settings: Callable[..., Any]) -> None:
    with pytest.raises(SettingsRefused, match=r'slcan has no bitrate 83333. Use .*, or btr = "\w{4}" if'):
        setup_commands(make_settings("slcan", channel="/dev/ttyACM0", bitrate=83_333))
    with pytest.raises(SettingsRefused, match=r"slcan has no data_bitrate 3000000. Use one of 1000000, "):
        setup_commands(make_settings("slcan", channel="/dev/ttyACM0", fd=True, data_bitrate=3_000_000))


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (b"S6", "bitrate"),
        (b"s031C", "btr"),
        (b"Y2", "data_bitrate"),
        (b"L", "listen_only"),
        (b"O", "open"),
        (b"Z1", "open"),
    ],
)
def test_meaning_of_a_command(command: bytes, key: str) -> None:
    assert meaning(command) == key


def test_commands_of_all_bitrates_are_those_of_the_manuals(make_settings: Callable[..., Any]) -> None:
    """LAWICEL CAN232 manual, command Sn; firmware of CANable 2, command Yn."""
    rates = [10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000]
    for number, bitrate in enumerate(rates):
        settings = make_settings("slcan", channel="/dev/ttyACM0", bitrate=bitrate)
        assert setup_commands(settings)[0] == (b"S%d" % number, True)
    for megabits in (1, 2, 4, 5, 8):
        keys = {"fd": True, "data_bitrate": megabits * 1_000_000}
        settings = make_settings("slcan", channel="/dev/ttyACM0", **keys)
        assert setup_commands(settings)[1] == (b"Y%d" % megabits, True)


def test_only_bitrates_and_opening_are_required(make_settings: Callable[..., Any]) -> None:
    settings = make_settings("slcan", channel="/dev/ttyACM0", fd=True, data_bitrate=2_000_000)
    assert [command.text for command in setup_commands(settings) if not command.required] == [
        b"Z1",
        b"V",
        b"N",
    ]
