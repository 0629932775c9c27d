"""`cancorderctl dump`: the frames of one bus or several, as candump writes them."""

from __future__ import annotations

import json
import selectors
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from cancorderd.cli.candump_text import Writer
from cancorderd.cli.sources import Stream, frames_dropped, opened
from cancorderd.cli.terminal import complain
from cancorderd.client import WireError
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit
from cancorderd.frame import BRS, ESI, EXTENDED, FD

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from cancorderd.cli.decode import Decoder
    from cancorderd.frame import Frame


def run(options: argparse.Namespace) -> int:
    if options.decode and options.log:
        complain("a log has no room for signals. Leave out either -L or --decode.")
        return Exit.USAGE
    decoder = _decoder(options.decode)
    with ExitStack() as stack:
        streams = opened(options.sources, options.socket)
        for stream in streams:
            stack.callback(stream.connection.close)
        line = _formatter(options, decoder, max(len(stream.name) for stream in streams))
        try:
            ended = not _write(_frames(streams), line, options.count)
        except KeyboardInterrupt:
            ended = False
        if dropped := frames_dropped(streams, options.socket):
            complain(f"{dropped} frames are missing: they came faster than they could be written.")
    return Exit.FAILED if ended else Exit.DONE


def _decoder(paths: list[str]) -> Decoder | None:
    """Raises ControlError."""
    if not paths:
        return None
    from cancorderd.cli import decode  # noqa: PLC0415 - loads cantools, for 0.2 s

    try:
        return decode.Decoder(paths)
    except decode.DatabaseUnreadable as error:
        raise ControlError(str(error), Exit.FAILED) from error


def _formatter(
    options: argparse.Namespace, decoder: Decoder | None, width: int
) -> Callable[[str, Frame], str]:
    """What makes a line of a frame and the name of its source."""
    if options.json:
        return lambda name, frame: json.dumps(as_json(name, frame, decoder))
    writer = Writer(width, log=options.log, stamps=options.timestamp)
    if decoder is None:
        return writer.line
    from cancorderd.cli.decode import text  # noqa: PLC0415

    def line(name: str, frame: Frame) -> str:
        decoded = decoder.decode(frame)
        return writer.line(name, frame) + (text(decoded) if decoded else "")

    return line


def as_json(name: str, frame: Frame, decoder: Decoder | None) -> dict[str, Any]:
    """A frame with its time in seconds since the epoch, its bytes in hexadecimal and, if known, its signals."""
    return {
        "time": frame.timestamp_us / 1_000_000,
        "bus": name,
        "id": frame.arbitration_id,
        "extended": bool(frame.flags & EXTENDED),
        "fd": bool(frame.flags & FD),
        "brs": bool(frame.flags & BRS),
        "esi": bool(frame.flags & ESI),
        "data": frame.data.hex(),
        **((decoder.decode(frame) if decoder else None) or {}),
    }


def _frames(streams: Iterable[Stream]) -> Iterator[list[tuple[str, Frame]]]:
    """What has arrived, as it comes and with the name of its source; ends when every stream has."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.connection, selectors.EVENT_READ, stream)
        while selector.get_map():
            for key, _ in selector.select():
                one: Stream = key.data
                try:
                    frames = one.connection.receive_available()
                except (OSError, WireError) as error:
                    complain(str(error))
                    selector.unregister(one.connection)
                    continue
                yield [(one.name, frame) for frame in frames if one.filters.passes(frame)]


def _write(
    arrivals: Iterator[list[tuple[str, Frame]]], line: Callable[[str, Frame], str], count: int | None
) -> bool:
    """Print a line for each frame. True where `count` of them are written, False where there are no more."""
    left = count
    for frames in arrivals:
        shown = frames if left is None else frames[:left]
        if shown:
            sys.stdout.write("".join(f"{line(*one)}\n" for one in shown))
            sys.stdout.flush()
        if left is not None:
            left -= len(shown)
            if left == 0:
                return True
    return False
