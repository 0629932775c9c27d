"""The printer, with a pipe in place of standard output."""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Self

from cancorderd.cli.canlogger.output_lines import FrameLines
from cancorderd.cli.canlogger.printer import Printer
from cancorderd.ipc.messages import BusReport, ClientReport, Counts
from cancorderd.protocol.audience_mark import audience_mark
from cancorderd.protocol.frame import EXTENDED, Frame
from cancorderd.protocol.packets import encode, encode_all
from tests.support.descriptors import low_descriptors_in_use
from tests.support.harness import PATIENCE_S, poll

if TYPE_CHECKING:
    from cancorderd.ipc.messages import Counts as CountsType

CLIENT = ClientReport("10.0.0.7:40001", 0.0, 0, 0, 0)


def report(clients: int, dropped: int = 0) -> BusReport:
    return BusReport("running", "", None, Counts(lost_taps=dropped), [CLIENT] * clients, {})


class Output:
    """A printer and the pipe that it writes to."""

    def __init__(self, *, verbose: bool = True) -> None:
        self.reader, self.writer = os.pipe()
        self.closed = threading.Event()
        frames = FrameLines(coloured=False) if verbose else None
        self.printer = Printer(self.writer, frames, coloured=False, on_output_closed=self.closed.set)

    def finish(self, counts: CountsType | None = None) -> list[str]:
        """Finish the printer; return its lines without the time."""
        self.printer.finish(counts)
        os.close(self.writer)
        with os.fdopen(self.reader) as output:
            self.reader = -1
            return [re.sub(r"^\d\d:\d\d:\d\d\.\d{3} ", "", line.rstrip("\n")) for line in output]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.reader >= 0:
            os.close(self.reader)
            self.printer.finish(None)
            os.close(self.writer)


def test_ids_have_as_many_digits_as_their_kind() -> None:
    lines = FrameLines(coloured=False)
    frames = [Frame(0, 0x12, 0, b"\xab"), Frame(0, 0x12, EXTENDED, b"")]
    standard, extended = lines.format(encode_all(frames), 0).splitlines()
    assert " ID=012 DLC=1 " in standard
    assert " ID=00000012 DLC=0 " in extended


def test_lines_are_printed_in_order_with_tags() -> None:
    with Output() as output:
        output.printer.print_line("can", "opened")
        output.printer.print_plain("advice")
        assert output.finish() == ["[can] opened", "advice"]


def test_lines_that_a_slow_output_misses_are_counted() -> None:
    with Output() as output:
        for number in range(5000):
            output.printer.print_plain(f"{number:0100}")
        poll(lambda: output.printer._written > 0)
        reading = os.dup(output.reader)
        thread = threading.Thread(target=output.printer.finish, args=[None])
        thread.start()
        found = b""
        with os.fdopen(reading, "rb", 0) as lines:
            while f"{4999:0100}\n".encode() not in found:
                found += lines.read(1 << 16)
        thread.join(PATIENCE_S)
    texts = found.decode().splitlines()
    missing = [int(word) for text in texts for word in re.findall(r"slow: (\d+) lines are missing", text)]
    assert sum(missing) == 5000 - sum(text.isdigit() for text in texts) > 0


def test_frames_show_the_clients_of_the_last_report() -> None:
    with Output() as output:
        output.printer.report(report(clients=1))
        output.printer.report(report(clients=2))
        with output.printer.open_stream() as stream:
            stream.sendall(encode(Frame(0, 0x123, 0, b"\x01")))
        assert output.finish() == ["[can] #    1 ID=123 DLC=1 DATA=01 -> 2 client(s)"]


def test_frames_show_the_clients_of_the_last_mark_in_their_stream() -> None:
    packets = [encode(Frame(0, number, 0, b"")) for number in (1, 2, 3)]
    with Output() as output:
        output.printer.report(report(clients=7, dropped=0))
        with output.printer.open_stream() as stream:
            stream.sendall(packets[0] + audience_mark(1) + packets[1] + audience_mark(0) + packets[2])
        assert [line.split("-> ")[1] for line in output.finish()] == [f"{n} client(s)" for n in (7, 1, 0)]


def test_rest_of_a_stream_is_printed_after_it() -> None:
    packets = [encode(Frame(0, number, 0, b"")) for number in (1, 2)]
    with Output() as output:
        with output.printer.open_stream() as stream:
            stream.sendall(packets[0] + packets[1][:5])
            output.printer.append_rest(
                packets[1][5:]
            )  # before the end of the stream, as the supervisor does it
        assert [line.split("ID=")[1][:3] for line in output.finish()] == ["001", "002"]


def test_new_stream_begins_with_a_whole_packet() -> None:
    packet = encode(Frame(0, 1, 0, b""))
    with Output() as output:
        for data in (packet + packet[:7], packet):
            with output.printer.open_stream() as stream:
                stream.sendall(data)
        assert len(output.finish()) == 2


def test_dropped_frames_are_noticed_and_their_numbers_left_out() -> None:
    with Output() as output:
        output.printer.report(report(clients=0, dropped=12))
        with output.printer.open_stream() as stream:
            stream.sendall(encode(Frame(0, 1, 0, b"")))
        notice, line = output.finish()
    assert notice == "[can] Output too slow: 12 frames not printed (clients still receive them)."
    assert line.startswith("[can] #   13 ")


def test_statistics_come_last() -> None:
    with Output() as output:
        output.printer.print_line("exit", "Shutting down...")
        with output.printer.open_stream() as stream:
            stream.sendall(encode(Frame(0, 1, 0, b"")))
        lines = output.finish(Counts(received=3, sent=5, sent_bytes=70, lost_clients=1))
    assert lines[-3:] == [
        "[stats] Frames sent: 5, dropped: 1, bytes: 70",
        "[stats] Frames received: 3, lost by the kernel: 0, by the adapter: 0",
        "[stats] Frames printed: 1, not printed: 2",
    ]


def test_statistics_without_printed_frames_if_not_verbose() -> None:
    with Output(verbose=False) as output:
        assert len(output.finish(Counts())) == 2


def test_closed_output_is_reported_once() -> None:
    with Output() as output:
        os.close(output.reader)
        output.reader = -1
        output.printer.print_line("can", "opened")
        poll(output.closed.is_set, what="the closed output is reported")
        output.printer.print_line("can", "closed")
        output.printer.finish(Counts())
        os.close(output.writer)


def test_high_descriptors_are_no_obstacle() -> None:
    with low_descriptors_in_use(), Output() as output:
        with output.printer.open_stream() as stream:
            stream.sendall(encode(Frame(0, 0x123, 0, b"\x01")))
        assert output.finish() == ["[can] #    1 ID=123 DLC=1 DATA=01 -> 0 client(s)"]


def test_output_that_another_program_has_set_to_non_blocking_is_waited_for() -> None:
    with low_descriptors_in_use(), Output(verbose=False) as output:
        os.set_blocking(output.writer, False)
        for number in range(900):
            output.printer.print_plain(f"{number:0100}")
        lines: list[str] = []

        def read() -> None:
            with os.fdopen(os.dup(output.reader)) as reading:
                lines.extend(reading)

        reader = threading.Thread(target=read)
        reader.start()
        output.printer.finish(None)
        os.close(output.writer)
        reader.join(PATIENCE_S)
        os.close(output.reader)
        output.reader = -1
    assert [int(line) for line in lines] == list(range(900))
