"""slcan over a pseudo-terminal: setting up, failing, unplugging, the adapter's answers."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import threading
import time
import tty
from typing import TYPE_CHECKING, Any

import pytest
from serial.tools.list_ports_common import ListPortInfo

from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.adapters.registry import open_source
from cancorderd.adapters.slcan import serial_port
from cancorderd.config import settings_json
from cancorderd.protocol.packets import PacketDecoder
from tests.support.descriptors import low_descriptors_in_use
from tests.support.harness import PATIENCE_S, ROOT, poll
from tests.support.slcan_adapter import EmulatedSlcan
from tests.support.slcan_thread import SlcanAdapter
from tests.support.source_reading import frames_of, read_until, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


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
def test_adapter_follows_the_settings(
    make_settings: Callable[..., Any], tmp_path: Path, keys: dict[str, Any], bitrate: str, listen_only: bool
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100, fd=True) as emulated:
        source = open_source(make_settings("slcan", channel=str(tmp_path / "tty"), **keys))
        frames_of(source, 1)
        adapter = emulated.adapter
        assert (adapter.open, adapter.bitrate, adapter.listen_only) == (True, bitrate, listen_only)
        source.close()
        poll(lambda: not adapter.open, what="the adapter is closed too")


def test_adapter_that_was_left_open_is_set_up_again(
    make_settings: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=2000) as emulated:
        emulated.adapter.open, emulated.adapter.bitrate = True, "S0"
        source = open_source(make_settings("slcan", channel=channel))
        frames_of(source, 10)
        assert emulated.adapter.bitrate == "S6"
        assert source.error_frames == 0
        source.close()


def test_details_have_the_adapters_version_and_serial_number(
    make_settings: Callable[..., Any], tmp_path: Path
) -> None:
    with SlcanAdapter(tmp_path / "tty"):
        source = running(open_source(make_settings("slcan", channel=str(tmp_path / "tty"))))
        assert source.details == {"version": "1013", "serial": "LAB1"}
        source.close()


@pytest.mark.parametrize("wanted", [True, False])
def test_adapters_time_stamps_are_used_if_configured(
    make_settings: Callable[..., Any], tmp_path: Path, wanted: bool
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=200) as emulated:
        source = open_source(
            make_settings("slcan", channel=str(tmp_path / "tty"), hardware_timestamps=wanted)
        )
        frames = frames_of(source, 20)
        assert emulated.adapter.stamps is wanted
        stamps = [frame.timestamp_us for frame in frames]
        assert stamps == sorted(stamps)
        assert abs(stamps[-1] / 1e6 - time.time()) < 5
        assert source.error_frames == 0
        source.close()


def test_registers_in_place_of_a_bitrate(make_settings: Callable[..., Any], tmp_path: Path) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated:
        source = open_source(make_settings("slcan", channel=str(tmp_path / "tty"), btr="031C"))
        frames_of(source, 1)
        assert emulated.adapter.bitrate == "s031C"
        source.close()


def test_adapter_is_found_by_its_serial_number(
    make_settings: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of ports is replaced, since a machine without USB has none."""
    other, mine = ListPortInfo("/dev/ttyACM7"), ListPortInfo(str(tmp_path / "tty"))
    other.serial_number, mine.serial_number = "AAAA", "1205AA6"
    monkeypatch.setattr(serial_port, "comports", lambda: [other, mine])
    with SlcanAdapter(tmp_path / "tty", rate=100):
        source = open_source(make_settings("slcan", serial="1205AA6"))
        frames_of(source, 1)
        source.close()
    with pytest.raises(AdapterAbsent, match=r"serial number BBBB \(there are: 1205AA6, AAAA\)\. Plug"):
        open_source(make_settings("slcan", serial="BBBB"))


class Answering:
    """A terminal that answers each command from the table `answers`, or with `otherwise`."""

    def __init__(self, answers: dict[bytes, bytes], otherwise: bytes = b"\r") -> None:
        self.commands: list[bytes] = []
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
                self.commands.append(command)
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
    for terminal in made:
        terminal.close()


def test_adapter_that_refuses_the_bitrate(
    make_settings: Callable[..., Any], answering: Callable[..., Answering]
) -> None:
    adapter = answering({b"S6": b"\a"})
    source = open_source(make_settings("slcan", channel=adapter.name))
    with pytest.raises(SettingsRefused, match=r"the adapter at /dev/pts/\d+ refuses S6 \(bitrate\)"):
        running(source)
    assert adapter.commands.count(b"S6") > 1, "a refusal at the first try is no proof"
    assert b"O" not in adapter.commands
    source.close()
    poll(lambda: adapter.commands[-1] == b"C", what="the adapter is left closed")


def test_adapter_that_answers_nothing_runs_from_its_first_frame_on(
    make_settings: Callable[..., Any], answering: Callable[..., Answering]
) -> None:
    adapter = answering({}, b"")
    source = open_source(make_settings("slcan", channel=adapter.name))
    assert (source.waiting, source.setting_up) == (f"{adapter.name} is being set up.", True)
    read_until(source, lambda: b"O" in adapter.commands)
    assert source.waiting.startswith(f"{adapter.name}: nothing acknowledged; no frame yet.")
    os.write(adapter.master, b"t1232AABB\r")
    assert frames_of(source, 1)[0].data == b"\xaa\xbb"
    assert source.waiting == ""
    assert source.details["unacknowledged"] == "S6, O"
    source.close()


def test_adapter_that_starts_again_while_it_runs_is_set_up_again(
    make_settings: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated:
        source = running(open_source(make_settings("slcan", channel=channel)))
        read_until(source, lambda: source.controller is not None)
        emulated.adapter.open, emulated.adapter.bitrate = False, None
        read_until(source, lambda: source.waiting != "")
        assert "has started again" in source.notices[0][1]
        frames_of(source, 5)
        assert source.waiting == ""
        assert str(emulated.adapter.bitrate) == "S6"
        source.close()


def test_answer_and_first_frames_in_one_piece_lose_no_frame(
    make_settings: Callable[..., Any], answering: Callable[..., Answering]
) -> None:
    adapter = answering({b"O": b"\rt1231AA\rt1231BB\r"})
    source = open_source(make_settings("slcan", channel=adapter.name))
    assert [frame.data for frame in frames_of(source, 2)] == [b"\xaa", b"\xbb"]
    source.close()


def test_flags_report_controller_state_and_overruns(
    make_settings: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated:
        source = open_source(make_settings("slcan", channel=channel))
        emulated.adapter.flags = 0x24
        read_until(source, lambda: source.controller == "error-passive")
        assert source.lost_adapter == 0
        emulated.adapter.flags = 0x09
        read_until(source, lambda: source.lost_adapter >= 2)
        emulated.adapter.flags = 0
        read_until(source, lambda: source.controller == "error-active")
        source.close()


def test_garbage_is_counted_and_the_stream_goes_on(
    make_settings: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated:
        source = open_source(make_settings("slcan", channel=channel))
        frames_of(source, 5)
        emulated.command("raw fffe00e97431320d" + "00" * 300 + "0d")
        read_until(source, lambda: source.error_frames >= 2)
        frames_of(source, 5)
        source.close()


def test_unplugged_adapter_is_a_bus_error_and_then_absent(
    make_settings: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated:
        source = open_source(make_settings("slcan", channel=channel))
        frames_of(source, 5)
        emulated.command("unplug")
        with pytest.raises(BusError, match="the adapter is gone"):
            read_until(source, lambda: False)
        source.close()
        with pytest.raises(AdapterAbsent, match=r"does not exist\. Plug the adapter in"):
            open_source(make_settings("slcan", channel=channel))
        emulated.command("plug")
        poll(lambda: os.path.exists(channel), what="the adapter is back")
        source = open_source(make_settings("slcan", channel=channel))
        frames_of(source, 5)
        source.close()


def test_file_that_is_no_serial_port_is_refused(make_settings: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsRefused, match="is no serial port"):
        open_source(make_settings("slcan", channel=str(tmp_path / "file")))


def test_port_that_another_program_has_open_is_a_bus_error(
    make_settings: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100):
        first = open_source(make_settings("slcan", channel=channel))
        with pytest.raises(BusError, match="is in use by another program"):
            open_source(make_settings("slcan", channel=channel))
        first.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_missing_permission_names_the_group_that_helps(make_settings: Callable[..., Any]) -> None:
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    os.chown(name, 0, 20)
    os.chmod(name, 0o660)
    text = settings_json.to_json(make_settings("slcan", channel=name))
    script = f"""
import os
from cancorderd.config.settings_json import from_json
from cancorderd.adapters.registry import open_source
import cancorderd.adapters.slcan.source
settings = from_json({json.dumps(text)})  # before Python's folder may be out of reach
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
open_source(settings)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "AdapterAbsent" in done.stderr
    assert f"no permission for {name} as user nobody" in done.stderr
    assert "usermod -aG dialout nobody" in done.stderr
    os.close(slave)
    os.close(master)


def test_high_descriptor_is_no_obstacle(
    make_settings: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=100) as emulated, low_descriptors_in_use():
        source = open_source(make_settings("slcan", channel=channel))
        descriptor = source.fileno()
        assert descriptor
        assert descriptor > 1023
        frames_of(source, 10)
        assert emulated.adapter.open
        source.close()


def test_stop_ends_the_stream_and_no_frame_of_it_is_left_behind(
    make_settings: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=5000) as emulated:
        source = open_source(make_settings("slcan", channel=channel))
        frames = frames_of(source, 200)
        source.stop()
        decoder = PacketDecoder()
        while (batch := source.read(time.monotonic())).frames:
            decoder.receive(batch.packets)
        frames += decoder.frames()
        assert not emulated.adapter.open
        assert len(frames) == emulated.adapter.sent
        source.close()


class _SlowToClose(EmulatedSlcan):
    """An adapter that is busy for a while before it reads C, and sends the frames of this time at once then."""

    def handle(self, data: bytes) -> None:
        if b"C" in data and self.open:
            time.sleep(0.2)  # the fault itself: longer than an adapter is quiet between frames
            self.stream()
        super().handle(data)


def test_stop_waits_until_a_busy_adapter_has_closed_its_channel(
    make_settings: Callable[..., Any], tmp_path: Path, channel: str
) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=200, kind=_SlowToClose) as emulated:
        source = open_source(make_settings("slcan", channel=channel))
        frames = frames_of(source, 20)
        source.stop()
        assert not emulated.adapter.open
        decoder = PacketDecoder()
        while (batch := source.read(time.monotonic())).frames:
            decoder.receive(batch.packets)
        assert len(frames) + len(list(decoder.frames())) == emulated.adapter.sent
        source.close()


def test_stop_does_not_wait_for_an_adapter_that_goes_on_streaming(
    make_settings: Callable[..., Any], answering: Callable[..., Answering]
) -> None:
    adapter = answering({})
    source = running(open_source(make_settings("slcan", channel=adapter.name)))
    streaming = threading.Event()
    streaming.set()
    ended_by_itself = threading.Event()

    def stream() -> None:
        end_s = time.monotonic() + PATIENCE_S
        while streaming.is_set() and time.monotonic() < end_s:
            if select.select([], [adapter.master], [], 0.01)[1]:
                os.write(adapter.master, b"t1232AABB\r")
        if streaming.is_set():
            ended_by_itself.set()

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        source.stop()
        assert not ended_by_itself.is_set(), "it stopped waiting before the stream ended"
    finally:
        streaming.clear()
        thread.join()
        source.close()


def test_frames_that_arrived_before_a_failure_come_first(
    make_settings: Callable[..., Any], tmp_path: Path, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SlcanAdapter(tmp_path / "tty") as emulated:
        source = open_source(make_settings("slcan", channel=channel))
        running(source)
        emulated.command("frame t1232AABB")
        descriptor = source.fileno()
        assert descriptor is not None

        def arrived() -> bool:
            pending = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
            return int.from_bytes(pending, sys.byteorder) >= len("t1232AABB\r")

        poll(arrived, what="the frame, behind an answer to F")
        write = os.write

        def fail(written: int, data: bytes) -> int:
            if written != descriptor:  # the emulated adapter's
                return write(written, data)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patched:
            patched.setattr("cancorderd.adapters.slcan.source.os.write", fail)
            later_s = time.monotonic() + 10  # the adapter is asked for its flags, which fails
            assert poll(lambda: source.read(later_s).frames, what="the frame") == 1
            assert source.due(later_s) == 0
            with pytest.raises(BusError, match="the adapter is gone"):
                source.read(later_s)
        source.close()
