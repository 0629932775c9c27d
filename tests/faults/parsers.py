"""Everything that parses input from outside, under damaged input: no exception but its own, in bounded time and memory.

The corpus of each parser is in `corpus/NAME`: good inputs, and inputs that got further into the parser. The long form
adds those that it finds. Each input begins as the function of the parser says.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cancorderd.adapters.device_clock import DeviceClock
from cancorderd.adapters.failures import BusFailure
from cancorderd.adapters.gs_usb.decoder import GsUsbDecoder
from cancorderd.adapters.log_files.log_file import open_log
from cancorderd.adapters.slcan.commands import Command
from cancorderd.adapters.slcan.decoder import SlcanDecoder
from cancorderd.adapters.slcan.setup import SetUp
from cancorderd.adapters.socketcan.decoder import CAN_FRAME, CONTROL, CanFrameDecoder
from cancorderd.adapters.socketcan.link import acknowledged, link_in, notified_names
from cancorderd.adapters.toucan import can_api
from cancorderd.adapters.toucan.decoder import ToucanDecoder
from cancorderd.cli.ctl import candump_filters
from cancorderd.client.address import host_and_port
from cancorderd.client.stream_judge import Judge
from cancorderd.config.loading import loaded
from cancorderd.config.problem import ConfigurationError
from cancorderd.control.client import ControlClient, ControlError
from cancorderd.ipc import channel
from cancorderd.protocol import quality_frame
from cancorderd.protocol.forgiving_decoder import ForgivingDecoder
from cancorderd.protocol.internal_packets import InternalDecoder
from cancorderd.protocol.packets import MAX_PACKET, PacketDecoder, WireError
from cancorderd.supervisor.port_memory import PortMemory
from tests.faults.drill import Drill, Row, Scale
from tests.faults.hub_parsers import (
    feed,
    hub_answers,
    hub_messages,
    hub_stream,
    hub_texts,
    spool_ids,
    spool_segment,
)
from tests.faults.mutation import Mutations, lines_of, store, stored
from tests.faults.web_parsers import page_messages, password_line, request_headers
from tests.support.harness import ROOT
from tests.support.strict_packets import strict_frames

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).parent / "corpus"
PACKAGE = str(ROOT / "cancorderd")
NOW_US = 1_700_000_000_000_000
MOST_S = 2.0
"""Processor time of an input of at most 32 KiB, while its lines are observed."""
LONG_S = float(os.environ.get("CANCORDER_FAULTS_PARSE_S", "60"))
"""Duration of the long form, for each parser."""
MOST_FINDINGS = 5
MOST_KIB = 64 << 10
"""Growth of this process's memory over all inputs of a parser."""
SUFFIXES = (".log", ".asc", ".trc", ".csv", ".blf", ".log.gz", ".blf.gz", ".db", ".bin")
SLCAN_COMMANDS = [
    Command(b"S6", required=True),
    Command(b"Z1", required=False),
    Command(b"V", required=False),
    Command(b"O", required=True),
]


def wire(data: bytes) -> None:
    """A stream of packets."""
    for decoder in (PacketDecoder(), ForgivingDecoder(), InternalDecoder()):
        judge = Judge()
        try:
            for piece in halves(data):
                decoder.receive(piece)
                for frame in decoder.frames():
                    judge.observe(frame)
                assert decoder.pending < MAX_PACKET, "whole packets wait"
            judge.judgement()
        except WireError:
            pass


def slcan(data: bytes) -> None:
    """Text of an adapter."""
    decoder = SlcanDecoder()
    for decoder.internal in (False, True):
        for piece in halves(data):
            strict_frames(decoder.decode(piece, NOW_US))
    decoder.decode(b"\r", NOW_US)
    frames = strict_frames(decoder.decode(b"t1232AABB\rt1232AABB\r", NOW_US))
    assert frames, "good text behind damaged text gives no frame"


def slcan_set_up(data: bytes) -> None:
    """Answers of an adapter, 6 bytes each 50 ms."""
    set_up = SetUp(SLCAN_COMMANDS, "/dev/ttyACM0", 0.0)
    sent = 0
    try:
        for turn in range(600):
            to_send, _ = set_up.step(data[6 * turn : 6 * turn + 6], turn / 20)
            sent += len(to_send)
            set_up.waiting(turn / 20)
    except BusFailure:
        pass
    assert sent < 10_000, f"{sent} bytes of commands in 30 s"


def can_frame(data: bytes) -> None:
    """For each message a `can_frame` and its control message, as the kernel writes them."""
    count = len(data) // (CAN_FRAME.size + CONTROL.size)
    frames = memoryview(data)[: count * CAN_FRAME.size]
    controls = memoryview(data)[count * CAN_FRAME.size : count * (CAN_FRAME.size + CONTROL.size)]
    lengths = [72 if data[number] & 1 else 16 for number in range(count)]
    for internal in (False, True):
        decoder = CanFrameDecoder()
        decoder.internal = internal
        found = strict_frames(decoder.decode(lengths, frames, controls))
        assert len(found) + decoder.error_frames + decoder.remote_frames == count, "a frame is not counted"
        decoder.reconsider_bus_off(frames, controls, lengths)


def gs_usb(data: bytes) -> None:
    """For each transfer its length and its bytes."""
    transfers = []
    while data:
        transfers.append(data[1 : 1 + data[0]])
        data = data[1 + data[0] :]
    for epoch_us in (None, DeviceClock(1 << 32).epoch_us):
        decoder = GsUsbDecoder(epoch_us=epoch_us)
        for decoder.internal in (False, True):
            strict_frames(decoder.decode(transfers, NOW_US))


def can_api_v3(data: bytes) -> None:
    """Messages of the library; then its numbers."""
    messages = memoryview(data)[: len(data) - len(data) % can_api.MESSAGE.size]
    decoder = ToucanDecoder()
    for decoder.internal in (False, True):
        strict_frames(decoder.decode(messages, NOW_US))
    for (code,) in struct.iter_unpack("=i", data[: len(data) // 4 * 4][:64]):
        can_api.meaning(code)
        can_api.errno_of(code)
        can_api.is_passing(code)


def error_frame(data: bytes) -> None:
    """For each error frame its class and its 8 bytes."""
    decoder = CanFrameDecoder()
    for can_id, payload in struct.iter_unpack("=I8s", data[: len(data) // 12 * 12]):
        decoder.count_error_frame(can_id, payload)
        decoder.report_link(decoder.controller, can_id)
    assert decoder.error_frames == len(data) // 12


def netlink(data: bytes) -> None:
    """What the kernel answers about links."""
    sequence = int.from_bytes(data[8:12], sys.byteorder)
    notified_names(data)
    for read in (link_in, acknowledged):
        try:
            read(data, sequence)
        except OSError as error:
            assert error.errno is not None, "a refusal without a number"


def log_file(data: bytes) -> None:
    """The number of a suffix, then the content of a log."""
    suffix = SUFFIXES[data[0] % len(SUFFIXES)] if data else ".log"
    with tempfile.NamedTemporaryFile("wb", suffix=suffix) as file:
        file.write(data[1:])
        file.flush()
        try:
            count = sum(1 for _ in open_log(file.name).entries)
        except BusFailure:
            return
    assert count <= LONGEST_LOG, f"{count} entries"


LONGEST_LOG = 1 << 20


def configuration(data: bytes) -> None:
    """The content of the file."""
    with tempfile.NamedTemporaryFile("wb", suffix=".toml") as file:
        file.write(data)
        file.flush()
        try:
            loaded(file.name, in_force=None, pipe=False)
        except ConfigurationError as error:
            assert all(str(problem).isprintable() for problem in error.problems), "an unprintable problem"


def channel_messages(data: bytes) -> None:
    """What a worker writes into its channel."""
    ours, theirs = channel.pair()
    try:
        theirs.setblocking(False)
        theirs.send(data or b"\0")
        for received in ours.receive():
            assert not received.descriptors
    except channel.ChannelClosed:
        pass
    finally:
        ours.close()
        theirs.close()


def control_answers(data: bytes) -> None:
    """The answer of whatever listens on the control socket."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = f"{folder}/s"
        server.bind(path)
        server.listen()
        thread = threading.Thread(target=answer, args=(server, data, 2), daemon=True)
        thread.start()
        client = ControlClient(path, timeout_s=5, full_for_s=0)
        for ask in (client.status, lambda: list(client.events(follow=False))):
            try:
                ask()
            except ControlError as error:
                assert str(error).isprintable(), "an unprintable error"
        thread.join()


def answer(server: socket.socket, data: bytes, times: int) -> None:
    for _ in range(times):
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            try:
                connection.sendall(data)
            except OSError:
                continue


def port_memory(data: bytes) -> None:
    """The content of `ports.toml`."""
    # A thread may still write the file.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (Path(folder) / "ports.toml").write_bytes(data)
        memory = PortMemory(folder)
        assert all(0 < port <= 65535 for port in memory.others("")), "an impossible port"


def texts(data: bytes) -> None:
    """What a user writes, and payloads of the quality test."""
    text = data.decode(errors="replace")
    for parse in (
        host_and_port,
        functools.partial(candump_filters.split, errors=True),
        candump_filters.split,
    ):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)
    for fd in (False, True):
        with contextlib.suppress(quality_frame.Corrupt):
            quality_frame.parse(data[:64], fd=fd)


def halves(data: bytes) -> tuple[bytes, bytes]:
    middle = len(data) // 2
    return data[:middle], data[middle:]


SOURCES = (slcan, slcan_set_up, can_frame, gs_usb, can_api_v3, error_frame, netlink)
FILES = (configuration, port_memory, log_file, texts)
STREAMS = (wire, channel_messages, control_answers)
HUB = (hub_answers, hub_stream, hub_messages, hub_texts, spool_segment, spool_ids, feed)
WEB = (page_messages, request_headers, password_line)


def damaged(parsers: tuple[Callable[[bytes], None], ...], _folder: Path, scale: Scale) -> Row:
    """Give each parser its corpus, then mutations of it for some seconds."""
    logging.disable()
    row = Row()
    for parse in parsers:
        damage(parse, row, scale)
    return row


def damage(parse: Callable[[bytes], None], row: Row, scale: Scale) -> None:
    """Only the long form observes the lines that a parser executes, which takes a multiple of the time."""
    name = parse.__name__
    seed = os.environ.get("CANCORDER_FAULTS_SEED") or scale.of("short", str(time.time_ns()))
    inputs = Mutations(stored(CORPUS / name), seed)
    count, found, slowest_s = 0, 0, 0.0
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end_s = time.monotonic() + scale.of(3.0, LONG_S)
    while (time.monotonic() < end_s or inputs.corpus_left) and found < MOST_FINDINGS:
        data = inputs.next_input()
        run = functools.partial(parse, data)
        began_s = time.thread_time()
        try:
            lines = lines_of(run, PACKAGE) if scale.long else run() or set()
        except Exception as error:  # noqa: BLE001 - each is a finding
            found += 1
            row.mistakes.append(f"{name}: {type(error).__name__}: {error} for {data[:200]!r}")
            store(CORPUS / name, [data])
            continue
        took_s = time.thread_time() - began_s
        count, slowest_s = count + 1, max(slowest_s, took_s)
        row.expect(took_s < MOST_S, f"{name}: {took_s:.1f} s for {len(data)} bytes: {data[:200]!r}")
        inputs.observe(data, lines)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    row.expect(grown_kib < MOST_KIB, f"{name}: the memory has grown by {grown_kib} KiB")
    row.times += count
    row.figures[name] = {"inputs": count, "slowest_s": round(slowest_s, 3), "grown_kib": grown_kib}
    if scale.long:
        store(CORPUS / name, inputs.new)


def properties(_folder: Path, scale: Scale) -> Row:
    """All properties in tests/unit, with twenty times as many examples as there."""
    if not scale.long:
        return Row(note="long form only: tests/run quick checks them with fewer examples")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "hypothesis", "tests/unit"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "CANCORDER_EXAMPLES": "2000"},
    )  # fmt: skip
    print(done.stdout, file=sys.stderr)
    row = Row(times=1)
    row.expect(done.returncode == 0, f"properties: {done.stdout.splitlines()[-1:]}")
    return row


DRILLS = (
    Drill("sources", "damaged input from adapters and the kernel", functools.partial(damaged, SOURCES)),
    Drill("files", "damaged files and words", functools.partial(damaged, FILES)),
    Drill("streams", "damaged streams, messages and answers", functools.partial(damaged, STREAMS)),
    Drill("hub", "damaged answers and messages of the hub, spool", functools.partial(damaged, HUB)),
    Drill("web", "damaged words of browsers", functools.partial(damaged, WEB)),
    Drill("properties", "all properties of tests/unit, more examples", properties),
)
