"""The Wireshark dissector on the stream of a real daemon, captured on loopback and read by tshark.

The contents of the frames are compared by Wireshark's own dissectors: ISO 15765, UDS, OBD-II and J1939.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD, Frame
from cancorderd.protocol.packets import encode, encode_all
from cancorderd.simulator.options import Options
from tests.e2e.contrib.captures import Stream, capture, pieces
from tests.e2e.contrib.recordings import write_every_kind
from tests.e2e.contrib.tools import require_commands, skip_outside_ci
from tests.e2e.contrib.tshark import Tshark
from tests.support.harness import Client, Daemon, poll
from tests.support.isotp_listener import IsotpListener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ON_ISO_15765 = ("-d", "can.subdissector,iso15765")
AS_UDS = (*ON_ISO_15765, "-d", "iso15765.subdissector,uds")
ANY_NUMBER = ("-o", "gui.max_tree_depth:20000")
"""Option for any number of frames in a segment: a busy machine sends many at once."""
AS_OBD = (*ON_ISO_15765, "-d", "iso15765.subdissector,obd-ii")


@pytest.fixture(scope="module")
def tshark() -> Iterator[Tshark]:
    require_commands("tshark", "dumpcap")
    with Tshark() as program:
        yield program


@contextlib.contextmanager
def dumpcap(port: int, file: Path) -> Iterator[None]:
    """Capture the port on loopback while the block runs."""
    log = file.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["dumpcap", "-q", "-i", "lo", "-f", f"tcp port {port}", "-w", file], stdout=output, stderr=output
        )
    try:
        poll(
            lambda: process.poll() is not None or (file.exists() and file.stat().st_size),
            what="dumpcap captures",
        )
        if process.poll() is not None:
            messages = [line for line in log.read_text().splitlines() if line.startswith("dumpcap:")]
            skip_outside_ci(f"no capture on loopback: {messages}")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        process.wait(20)


def captured(port: int, frames: int, file: Path) -> tuple[bytes, list[Frame]]:
    """Return a client's first connection to `port`, as captured and as received by the client."""
    with dumpcap(port, file):
        with Client(port) as client:
            seen = client.wait_frames(frames)
            assert not client.error
        last = encode(seen[-1])
        poll(lambda: last in file.read_bytes(), what="the capture contains the client's last frame")
    return file.read_bytes(), seen


@pytest.mark.parametrize("speed", [1, 50])
def test_a_diagnostic_session_is_shown_as_received_and_as_uds(
    tshark: Tshark, tmp_path: Path, speed: int
) -> None:
    bus = f'[bus.bench]\ninterface = "mock"\nseed = 1\nspeed = {speed}\n'
    with Daemon(tmp_path, bus) as daemon:
        port = daemon.wait_port("bench")
        capture, seen = captured(port, 120 if speed == 1 else 600, tmp_path / "capture")
    ours = (*ANY_NUMBER, "-o", f"ecuconnect.ports:{port}")
    assert tshark.frames(capture, *ours)[: len(seen)] == seen
    if speed == 1:
        # Only with one frame per segment: otherwise Wireshark's ISO 15765 dissector mixes up messages.
        assert services(tshark, capture, *ours)[: len(messages(seen))] == messages(seen)


def messages(frames: list[Frame]) -> list[int]:
    """Return the service byte of every message, reassembled by can-isotp."""
    return [message.payload[0] for message in IsotpListener(Options()).messages(frames)]


def services(tshark: Tshark, capture: bytes, *options: str) -> list[int]:
    """Return the same bytes as shown by Wireshark's UDS dissector."""
    text = tshark.run(
        capture, *AS_UDS, *options, "-Y", "uds", "-T", "fields", "-e", "uds.sid", "-e", "uds.reply"
    )
    pairs = (line.split("\t") for line in text.splitlines())
    return [
        int(sid, 16) | (0x40 if reply in ("1", "True", "0x01") and sid != "0x7f" else 0)
        for sid, reply in pairs
    ]


def test_a_replayed_log_of_every_kind_of_frame_is_shown_as_received(tshark: Tshark, tmp_path: Path) -> None:
    log = tmp_path / "all.log"
    count = write_every_kind(log)
    bus = f'[bus.tape]\ninterface = "replay"\nfile = "{log}"\nspeed = 1\nloop = true\n'
    with Daemon(tmp_path, bus) as daemon:
        port = daemon.wait_port("tape")
        capture, seen = captured(port, 3 * count, tmp_path / "capture")
    assert Counter(frame.flags for frame in seen).keys() >= {
        0,
        EXTENDED,
        FD,
        FD | BRS,
        FD | ESI,
        FD | EXTENDED,
    }
    assert tshark.frames(capture, *ANY_NUMBER, "-o", f"ecuconnect.ports:{port}")[: len(seen)] == seen
    # Recognized by its content:
    assert tshark.frames(capture, *ANY_NUMBER, "-o", "ecuconnect.ports:")[: len(seen)] == seen


def test_obd_ii_is_shown(tshark: Tshark) -> None:
    request = Frame(1_700_000_000_000_000, 0x7DF, 0, bytes.fromhex("02010c0000000000"))
    response = Frame(1_700_000_000_010_000, 0x7E8, 0, bytes.fromhex("04410c1af8000000"))
    pcap = capture([Stream([(0, encode(request)), (22, encode(response))])])
    assert tshark.run(
        pcap, *AS_OBD, "-Y", "obd-ii", "-T", "fields", "-e", "obd-ii.mode01_engine_rpm"
    ).split() == ["1726"]


def test_iso_15765_handles_the_ids_of_its_preference(tshark: Tshark) -> None:
    frames = [Frame(1_700_000_000_000_000 + n, n, 0, b"\2\x10\3") for n in (0x7DF, 0x7E0, 0x7E8, 0x7F0)]
    pcap = capture([Stream(pieces(encode_all(frames), 17))])
    text = tshark.run(
        pcap, "-o", "iso15765.can.ids:0x7e0-0x7e8", "-Y", "iso15765", "-T", "fields", "-e", "ecuconnect.id"
    )
    assert [int(arbitration_id, 16) for arbitration_id in text.split()] == [0x7E0, 0x7E8]


def test_j1939_is_shown(tshark: Tshark) -> None:
    engine = Frame(1_700_000_000_000_000, 0x0CF0_0400, EXTENDED, bytes(8))
    pcap = capture([Stream([(0, encode(engine))])])
    shown = tshark.run(pcap, "-d", "can.subdissector,j1939", "-T", "fields", "-Y", "j1939", "-e", "j1939.pgn")
    assert shown.split() == ["61444"]


def test_the_info_column_includes_the_text_of_uds(tshark: Tshark) -> None:
    frames = [
        Frame(1_700_000_000_000_000, 0x7E0, 0, b"\2\x10\3"),
        Frame(1_700_000_000_010_000, 0x7E8, 0, b"\6\x50\3\0\x32\1\xf4"),
    ]
    text = tshark.run(capture([Stream([(0, encode_all(frames))])]), *AS_UDS)
    assert "7E0#021003 " in text
    assert "Diagnostic Session Control" in text
    assert ", 7E8#065003003201F4 " in text
