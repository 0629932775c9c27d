"""slcan over a pseudo-terminal: setting up, failing, unplugging, what the adapter tells of itself."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
import tty
from typing import TYPE_CHECKING, Any

import pytest
from serial.tools.list_ports_common import ListPortInfo

from cancorderd.errors import AdapterAbsent, BusError, SettingsRefused
from cancorderd.sources import open_source, slcan
from tests.adapters.slcan_thread import SlcanAdapter
from tests.harness import ROOT, poll
from tests.sources.reading import frames_of, read_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Make = "Callable[..., Any]"


@pytest.fixture
def channel(tmp_path: Path) -> str:
    return str(tmp_path / "tty")


@pytest.mark.parametrize(
    ("keys", "bitrate", "listen_only"),
    [
        ({}, "S6", False),
        ({"bitrate": 10_000}, "S0", False),
        ({"bitrate": 1_000_000, "listen_only": True}, "S8", True),
        ({"fd": True, "data_bitrate": 2_000_000}, "S6", False),
    ],
)
def test_adapter_is_set_up_as_the_section_says(
    section: Callable[..., Any], tmp_path: Path, keys: dict[str, Any], bitrate: str, listen_only: bool
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100, fd=True) as emulated:
        source = open_source(section("slcan", channel=str(tmp_path / "tty"), **keys))
        frames_of(source, 1)
        adapter = emulated.adapter
        assert (adapter.open, adapter.bitrate, adapter.listen_only) == (True, bitrate, listen_only)
        source.close()
        poll(lambda: not adapter.open, what="the adapter is closed behind us")


def test_adapter_that_was_left_open_is_set_up_anew(
    section: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=2000) as emulated:
        emulated.adapter.open, emulated.adapter.bitrate = True, "S0"
        source = open_source(section("slcan", channel=channel))
        frames_of(source, 10)
        assert emulated.adapter.bitrate == "S6"
        assert source.error_frames == 0
        source.close()


def test_adapter_tells_its_version_and_serial_number(section: Callable[..., Any], tmp_path: Path) -> None:
    with SlcanAdapter(tmp_path / "tty"):
        source = open_source(section("slcan", channel=str(tmp_path / "tty")))
        assert source.details == {"version": "1013", "serial": "LAB1"}
        source.close()


@pytest.mark.parametrize("wanted", [True, False])
def test_adapters_time_stamps_are_used_where_they_are_wanted(
    section: Callable[..., Any], tmp_path: Path, wanted: bool
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=200) as emulated:
        source = open_source(section("slcan", channel=str(tmp_path / "tty"), hardware_timestamps=wanted))
        frames = frames_of(source, 20)
        assert emulated.adapter.stamps is wanted
        stamps = [frame.timestamp_us for frame in frames]
        assert stamps == sorted(stamps)
        assert abs(stamps[-1] / 1e6 - time.time()) < 1
        assert source.error_frames == 0
        source.close()


def test_registers_in_place_of_a_bitrate(section: Callable[..., Any], tmp_path: Path) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated:
        source = open_source(section("slcan", channel=str(tmp_path / "tty"), btr="031C"))
        frames_of(source, 1)
        assert emulated.adapter.bitrate == "s031C"
        source.close()


def test_adapter_is_found_by_its_serial_number(
    section: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is pyserial's; what the system would put into it, this machine without USB cannot."""
    other, mine = ListPortInfo("/dev/ttyACM7"), ListPortInfo(str(tmp_path / "tty"))
    other.serial_number, mine.serial_number = "AAAA", "1205AA6"
    monkeypatch.setattr(slcan, "comports", lambda: [other, mine])
    with SlcanAdapter(tmp_path / "tty", rate=100):
        source = open_source(section("slcan", serial="1205AA6"))
        frames_of(source, 1)
        source.close()
    with pytest.raises(AdapterAbsent, match=r"serial number BBBB \(there are: 1205AA6, AAAA\)\. Plug"):
        open_source(section("slcan", serial="BBBB"))


def test_bitrates_that_slcan_cannot_say_are_refused(section: Callable[..., Any], channel: str) -> None:
    with pytest.raises(SettingsRefused, match=r'slcan has no bitrate 83333. Use .*, or btr = "\w{4}" if'):
        open_source(section("slcan", channel=channel, bitrate=83_333))
    with pytest.raises(SettingsRefused, match=r"slcan has no data_bitrate 3000000. Use one of 1000000, "):
        open_source(section("slcan", channel=channel, fd=True, data_bitrate=3_000_000))


class Answering:
    """A terminal that answers each command with what `answers` has for it."""

    def __init__(self, answers: dict[bytes, bytes], otherwise: bytes = b"\r") -> None:
        self.heard: list[bytes] = []
        self.answers = answers
        self.otherwise = otherwise
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.name = os.ttyname(self.slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        rest = b""
        while not self._stop.is_set():
            if not select.select([self.master], [], [], 0.02)[0]:
                continue
            *commands, rest = (rest + os.read(self.master, 4096)).split(b"\r")
            for command in commands:
                self.heard.append(command)
                os.write(self.master, self.answers.get(command, self.otherwise))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def answering() -> Iterator[Callable[..., Answering]]:
    made: list[Answering] = []

    def make(*arguments: Any) -> Answering:
        made.append(Answering(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_adapter_that_refuses_the_bitrate(
    section: Callable[..., Any], answering: Callable[..., Answering]
) -> None:
    adapter = answering({b"S6": b"\a"})
    with pytest.raises(SettingsRefused, match=r"the adapter at /dev/pts/\d+ refuses S6 \(bitrate\)"):
        open_source(section("slcan", channel=adapter.name))
    poll(lambda: adapter.heard[-1] == b"C", what="it is left closed")


def test_adapter_that_answers_nothing_is_opened_all_the_same(
    section: Callable[..., Any], answering: Callable[..., Answering]
) -> None:
    adapter = answering({}, b"")
    began = time.monotonic()
    source = open_source(section("slcan", channel=adapter.name))
    assert time.monotonic() - began < 1.5, "no blind wait"
    poll(lambda: b"O" in adapter.heard, what="the command that opens it")
    os.write(adapter.master, b"t1232AABB\r")
    assert frames_of(source, 1)[0].data == b"\xaa\xbb"
    source.close()


def test_adapter_that_is_deaf_at_first_is_asked_again(
    section: Callable[..., Any], answering: Callable[..., Answering]
) -> None:
    adapter = answering({}, b"")
    source = open_source(section("slcan", channel=adapter.name))
    poll(lambda: b"O" in adapter.heard, what="the first try")
    before = len(adapter.heard)
    adapter.otherwise = b"\r"
    source.read(time.monotonic() + 3)  # two seconds later, nothing has been heard
    poll(
        lambda: adapter.heard[before:] == [b"C", b"C", b"S6", b"O"],
        what="all commands again",
    )
    source.close()


def test_answer_and_first_frames_in_one_piece_lose_no_frame(
    section: Callable[..., Any], answering: Callable[..., Answering]
) -> None:
    adapter = answering({b"O": b"\rt1231AA\rt1231BB\r"})
    source = open_source(section("slcan", channel=adapter.name))
    assert [frame.data for frame in frames_of(source, 2)] == [b"\xaa", b"\xbb"]
    source.close()


def test_flags_tell_controller_state_and_overruns(
    section: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated:
        source = open_source(section("slcan", channel=channel))
        emulated.adapter.flags = 0x24
        read_until(source, lambda: source.controller == "error-passive")
        assert source.lost_adapter == 0
        emulated.adapter.flags = 0x09
        read_until(source, lambda: source.lost_adapter >= 2)
        emulated.adapter.flags = 0
        read_until(source, lambda: source.controller == "error-active")
        source.close()


def test_garbage_is_counted_and_the_stream_goes_on(
    section: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated:
        source = open_source(section("slcan", channel=channel))
        frames_of(source, 5)
        emulated.command("raw fffe00e97431320d" + "00" * 300 + "0d")
        read_until(source, lambda: source.error_frames >= 2)
        frames_of(source, 5)
        source.close()


def test_unplugged_adapter_is_a_bus_error_and_then_absent(
    section: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated:
        source = open_source(section("slcan", channel=channel))
        frames_of(source, 5)
        emulated.command("unplug")
        with pytest.raises(BusError, match="the adapter is gone"):
            read_until(source, lambda: False)
        source.close()
        with pytest.raises(AdapterAbsent, match=r"does not exist\. Plug the adapter in"):
            open_source(section("slcan", channel=channel))
        emulated.command("plug")
        poll(lambda: os.path.exists(channel), what="it is back")
        source = open_source(section("slcan", channel=channel))
        frames_of(source, 5)
        source.close()


def test_file_that_is_no_terminal_is_refused(section: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsRefused, match="is no serial port"):
        open_source(section("slcan", channel=str(tmp_path / "file")))


def test_port_that_another_program_has_open(
    section: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100):
        first = open_source(section("slcan", channel=channel))
        with pytest.raises(BusError, match="is in use by another program"):
            open_source(section("slcan", channel=channel))
        first.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_missing_permission_says_which_group_helps(section: Callable[..., Any]) -> None:
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    os.chown(name, 0, 20)
    os.chmod(name, 0o660)
    keys = vars(section("slcan", channel=name))
    script = f"""
import os
from cancorderd.report import section_from_json
from cancorderd.sources import open_source, slcan
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
open_source(section_from_json({json.dumps(json.dumps(keys))}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "AdapterAbsent" in done.stderr
    assert f"no permission for {name} as user nobody" in done.stderr
    assert "usermod -aG dialout nobody" in done.stderr
    os.close(slave)
    os.close(master)
