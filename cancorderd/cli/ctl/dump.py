"""`cancorderctl dump`: the frames of one or several buses, as candump writes them."""

from __future__ import annotations

import json
import math
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

from cancorderd.cli.ctl import dump_options, hub_stream, sigterm, subcommand
from cancorderd.cli.ctl.terminal import in_colours, on_terminal, print_error, print_lines
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cancorderd.cli.ctl.dump_source import DumpSource
    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.protocol.frame import Frame
    from cancorderd.signals.signal_decoder import SignalDecoder

Frames: TypeAlias = "list[tuple[str, Frame]]"
"""Frames with the labels of their sources."""

_NO_DATABASE = "--j1939 says how to look frames up in a database. Add --decode FILE."


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "dump",
        "print frames as candump does, until Ctrl+C",
        run,
        ("dump body", "a bus of this machine"),
        ("dump body bench -t a", "two buses, with time stamps"),
        ("dump body,7E0:7F0,123:7FF", "only these ids"),
        ("dump body,123~7FF", "all but this id"),
        ("dump rack.local:42420 -L >drive.log", "another machine's bus, as a log for canplayer and others"),
        ('dump "zeroconf:body"', "by a name that discover shows"),
        ("dump nats:truck-17/body --from 2026-11-25T10:00:00Z", "from a hub, from this moment on"),
        ("dump body -n 1 --timeout 5", "for scripts: fails if no frame comes in time"),
        ("dump body --summary --timeout 10", "the ids of ten seconds, and their rates"),
        ("dump body --errors", "with remote frames and error frames"),
        ("dump body --decode car.dbc", "with names and values of signals"),
        ("dump truck --decode truck.dbc --j1939", "of parameter groups from any source address"),
    )
    dump_options.add_arguments(parser)
    hub_stream.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    from cancorderd.cli.ctl.dump_sources import frames_dropped, open_sources, reader_losses

    _refuse_contradictions(options)
    decoder = _decoder(options.decode, j1939=options.j1939)
    lasting = sys.stdout.isatty() if options.reconnect is None else options.reconnect
    with ExitStack() as stack:
        stack.enter_context(sigterm.as_ctrl_c())
        sources = open_sources(
            options.sources, options.socket, errors=options.errors, lasting=lasting, hub=options
        )
        for source in sources:
            stack.callback(source.close)
        if options.j1939 and not options.decode and not any(source.database for source in sources):
            print_error(_NO_DATABASE)
            return Exit.USAGE
        before = reader_losses(sources, options.socket) if options.errors else {}
        failed = _dump(sources, options, decoder)
        dropped = (
            _increase(before, reader_losses(sources, options.socket))
            if options.errors
            else frames_dropped(sources, options.socket)
        )
        if dropped:
            print_error(f"{dropped} frames are missing: they came faster than they could be written.")
    return Exit.FAILED if failed else Exit.DONE


def _refuse_contradictions(options: argparse.Namespace) -> None:
    """Exit with the usage if the options contradict each other."""
    if options.decode and options.log:
        options.usage_error("a log has no room for signals. Omit either -L or --decode.")
    if options.summary and options.log:
        options.usage_error("a summary is no log. Omit either -L or --summary.")
    remote = all(":" in source.partition(",")[0] for source in options.sources)
    if options.j1939 and not options.decode and remote:
        options.usage_error(_NO_DATABASE)


def _dump(sources: list[DumpSource], options: argparse.Namespace, decoder: SignalDecoder | None) -> bool:
    """Print the frames or their summary. Returns whether it ended before what was asked for."""
    from cancorderd.cli.ctl.dump_arrivals import arrivals

    until_s = time.monotonic() + (options.timeout or math.inf)
    silence_s = options.silence / 1000 if options.silence else math.inf
    found = arrivals(sources, until_s, silence_s=silence_s)
    if options.summary:
        return _summarize(found, sources, options)
    write = _writer(sources, options, decoder)
    try:
        return _is_failure(sources, _pass_on(found, write, options.count), options.count)
    except KeyboardInterrupt:
        return False


def _writer(
    sources: list[DumpSource], options: argparse.Namespace, decoder: SignalDecoder | None
) -> Callable[[Frames], None]:
    """Return the function that prints frames."""
    from cancorderd.cli.ctl.dump_sources import label_as_interfaces
    from cancorderd.cli.ctl.frame_lines import line_format

    if options.log:
        label_as_interfaces(sources)
    line = line_format(
        max(len(source.label) for source in sources),
        {} if options.log else _decoders(sources, decoder, j1939=options.j1939),
        as_json=options.json,
        log=options.log,
        stamps=options.timestamp,
        with_text=options.ascii,
        colours=in_colours(options.color),
    )

    def write(frames: Frames) -> None:
        sys.stdout.write("".join(f"{line(label, frame)}\n" for label, frame in frames))
        sys.stdout.flush()

    return write


def _summarize(found: Iterator[Frames], sources: Sequence[DumpSource], options: argparse.Namespace) -> bool:
    """Count the frames, and print the table of the ids. Returns whether it ended before what was asked for."""
    from cancorderd.cli.ctl.dump_summary import DumpSummary
    from cancorderd.cli.ctl.text_table import styled_lines, text_lines

    summary = DumpSummary()

    def count(frames: Frames) -> None:
        for label, frame in frames:
            summary.add(label, frame)

    failed = False
    try:
        failed = _is_failure(sources, _pass_on(found, count, options.count), options.count)
    except KeyboardInterrupt:
        if sys.stdout.isatty():
            print(file=sys.stderr)  # behind ^C
    if options.json:
        print("".join(f"{json.dumps(row)}\n" for row in summary.as_json()), end="")
    elif on_terminal():
        print_lines(styled_lines(summary.table()))
    else:
        print("\n".join(text_lines(summary.table())))
    return failed


def _decoder(paths: list[str], *, j1939: bool) -> SignalDecoder | None:
    """Return the decoder for these databases, None without any. Raises ControlError."""
    if not paths:
        return None
    # Loads cantools, which takes 0.2 s.
    from cancorderd.signals.signal_database import DatabaseUnreadable
    from cancorderd.signals.signal_decoder import SignalDecoder

    try:
        decoder = SignalDecoder(paths, j1939=j1939)
    except DatabaseUnreadable as error:
        raise ControlError(str(error), Exit.FAILED) from error
    for notice in decoder.notices:
        print_error(notice)
    return decoder


def _decoders(
    sources: Sequence[DumpSource], decoder: SignalDecoder | None, *, j1939: bool
) -> dict[str, SignalDecoder]:
    """Return the decoder of each source by its label: `decoder`, or else one for the database of its bus.

    A database that a bus has and that cannot be read costs the signals alone, with a message.
    """
    if decoder:
        return {source.label: decoder for source in sources}
    own: dict[str, SignalDecoder | None] = {}
    found = {}
    for source in sources:
        if not source.database:
            continue
        if source.database not in own:
            try:
                own[source.database] = _decoder([source.database], j1939=j1939)
            except ControlError as error:
                print_error(str(error))
                own[source.database] = None
        if database := own[source.database]:
            found[source.label] = database
    return found


def _increase(before: Mapping[str, int], now: Mapping[str, int]) -> int:
    """Return by how much these counts have grown; a daemon that was started anew counts from 0."""
    return sum(max(0, count - before.get(name, 0)) for name, count in now.items())


def _pass_on(arrivals: Iterator[Frames], use: Callable[[Frames], None], count: int | None) -> int:
    """Pass the frames on, up to `count`. Returns how many there were when the arrivals ended."""
    passed = 0
    for frames in arrivals:
        used = frames if count is None else frames[: count - passed]
        if used:
            use(used)
        passed += len(used)
        if passed == count:
            break
    return passed


def _is_failure(sources: Sequence[DumpSource], printed: int, count: int | None) -> bool:
    """Return whether the dump ended before what was asked for, after a message if nobody else has said so."""
    if printed == count or all(source.finished for source in sources):
        return False
    if all(source.ended for source in sources):
        return True
    if count is not None:
        print_error(f"{printed} of {count} frames came in time.")
    return count is not None
