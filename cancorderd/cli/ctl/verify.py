"""`cancorderctl verify`: judges a stream of test frames, end to end."""

from __future__ import annotations

import argparse
import json
import math
import time
from typing import TYPE_CHECKING, Any

from cancorderd.cli.ctl import sigterm, subcommand
from cancorderd.cli.ctl.terminal import print_error
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cancorderd.cli.ctl.dump_source import DumpSource
    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.client.quantiles import Quantiles
    from cancorderd.client.stream_judge import Judge, Judgement, Stream, Tally

_HIGHEST_ID = 0x1FFF_FFFF


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "verify",
        "judge a stream of test frames: missing, duplicated, reordered, corrupt",
        run,
        ("verify bench --seconds 60", "a bus of this machine, for a minute"),
        ("verify rack.local:42420 --id 0x700 --count 100000", "another machine's bus, one id"),
        ('verify "zeroconf:bench" --json', "until Ctrl+C, for scripts"),
        ("verify bench --id 0x700 --response-id 0x701", "with round trips"),
    )
    parser.epilog = f"{parser.epilog}\n{_EXPLANATION}"
    parser.add_argument("source", metavar="SOURCE", help="BUS of this machine, HOST:PORT or zeroconf:NAME")
    parser.add_argument(
        "--id",
        metavar="ID",
        type=_arbitration_id,
        help="judge this arbitration id alone, such as 0x700; any frame of it that is no test frame is corrupt",
    )
    parser.add_argument(
        "--response-id",
        metavar="ID",
        type=_arbitration_id,
        help="arbitration id of the responses to --id: they are judged, too, and round trips measured",
    )
    parser.add_argument(
        "--test-id", metavar="N", type=_test_id, help="ignore frames of other quality tests (0 to 255)"
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "-n", "--count", metavar="COUNT", type=subcommand.count, help="end after this number of test frames"
    )
    end.add_argument("--seconds", metavar="SECONDS", type=subcommand.seconds, help="end after this time")
    subcommand.add_json(parser, "print one JSON object")


_EXPLANATION = """\
Test frames are those of CANcorder's quality test (a mock bus with pattern = "quality", mcangen --data-mode
quality-test), or numbered frames (pattern = "numbered", or a rate alone). It ends at --count or --seconds, with the
stream, or at Ctrl+C.

exit status: 0 every frame arrived once, in order and undamaged; 1 it did not, or there was no frame, or the stream
ended before --count; 2 wrong usage
"""


def run(options: argparse.Namespace) -> int:
    from cancorderd.cli.ctl.dump_sources import frames_dropped, open_sources
    from cancorderd.client.stream_judge import Judge

    if options.response_id is not None and options.id is None:
        print_error("--response-id names the answers to another id. Add --id ID.")
        return Exit.USAGE
    if options.response_id is not None and options.response_id == options.id:
        print_error(f"--id and --response-id are both 0x{options.id:X}. Use two ids.")
        return Exit.USAGE
    judge = Judge(options.id, options.response_id, options.test_id)
    (source,) = open_sources([options.source], options.socket)
    try:
        try:
            with sigterm.as_ctrl_c():
                ended = not _observe(judge, source, options.count, options.seconds)
        except KeyboardInterrupt:
            ended = False
        dropped = frames_dropped([source], options.socket)
    finally:
        source.close()
    judgement = judge.judgement()
    with_round_trips = options.response_id is not None
    if options.json:
        print(json.dumps(_as_json(judgement, dropped, with_round_trips=with_round_trips)))
    else:
        print("\n".join(_lines(judgement, dropped, with_round_trips=with_round_trips)))
    unfinished = ended and options.count is not None
    if unfinished:
        print_error(f"the stream ended after {judge.judged} of {options.count} test frames.")
    return Exit.DONE if judgement.all_right and not unfinished else Exit.FAILED


def _observe(judge: Judge, source: DumpSource, count: int | None, seconds: float | None) -> bool:
    """Let the judge see the frames. Return False if the stream ends before `count` frames or `seconds`."""
    from cancorderd.cli.ctl.dump_arrivals import arrivals

    until_s = math.inf if seconds is None else time.monotonic() + seconds
    for frames in arrivals([source], until_s):
        for _, frame in frames:
            judge.observe(frame)
            if count is not None and judge.judged >= count:
                return True
    return time.monotonic() >= until_s


def _as_json(judgement: Judgement, dropped: int, *, with_round_trips: bool) -> dict[str, Any]:
    tally = judgement.tally
    answer: dict[str, Any] = {
        "received": tally.received,
        "missing": tally.missing,
        "duplicated": tally.duplicated,
        "reordered": tally.reordered,
        "corrupt": judgement.corrupt,
        "jitter_us": _quantiles(judgement.jitter),
        "clients_dropped": dropped,
    }
    if with_round_trips:
        answer["round_trip_us"] = _quantiles(judgement.round_trips)
        answer["unanswered"] = judgement.unanswered
    return answer


def _quantiles(values: Quantiles) -> dict[str, int | None]:
    return {"p50": values.quantile(0.5), "p99": values.quantile(0.99), "max": values.highest}


def _lines(judgement: Judgement, dropped: int, *, with_round_trips: bool) -> Iterator[str]:
    for stream, tally in judgement.streams.items():
        yield f"{_stream_text(stream)}: {_tally_text(tally)}"
    if judgement.corrupt:
        yield f"corrupt: {judgement.corrupt}"
    if len(judgement.jitter):
        yield f"jitter: {_quantiles_text(judgement.jitter)}"
    if with_round_trips:
        if len(judgement.round_trips):
            yield f"round trips: {len(judgement.round_trips)}, {_quantiles_text(judgement.round_trips)}"
        yield f"unanswered: {judgement.unanswered}"
    if dropped:
        yield f"dropped by the daemon, since they came faster than they were read: {dropped}"
    yield _verdict(judgement)


def _stream_text(stream: Stream) -> str:
    name = f"0x{stream.arbitration_id:0{8 if stream.extended else 3}X}, {stream.format}"
    if stream.test_id is not None:
        name += f", test {stream.test_id}"
    return f"{name}, responses" if stream.response else name


def _tally_text(tally: Tally) -> str:
    return (
        f"{tally.received} received, {tally.missing} missing, {tally.duplicated} duplicated, "
        f"{tally.reordered} reordered"
    )


def _quantiles_text(values: Quantiles) -> str:
    return f"half within {values.quantile(0.5)} us, 99 % within {values.quantile(0.99)} us, all within {values.highest} us"


def _verdict(judgement: Judgement) -> str:
    if judgement.all_right:
        return "All right: every frame arrived once, in order and undamaged."
    if not judgement.streams:
        if judgement.corrupt:
            return "Not all right: every frame is corrupt."
        return "Not all right: there was no test frame. Is a sender running, with this id?"
    if not judgement.complete:
        return "Not all right: there was no test frame of one of the ids."
    return "Not all right."


def _arbitration_id(text: str) -> int:
    value = int(text, 0)
    if not 0 <= value <= _HIGHEST_ID:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 0x{_HIGHEST_ID:X}")
    return value


def _test_id(text: str) -> int:
    value = int(text, 0)
    if not 0 <= value <= 0xFF:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 255")
    return value
