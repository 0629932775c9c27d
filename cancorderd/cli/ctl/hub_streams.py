"""`cancorderctl hub init`: make the streams of gateways, or check those that exist."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import hub_access, subcommand
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.hub.connection import HubConnection
    from cancorderd.hub.stream_plan import Limits
    from cancorderd.hub.streams import Outcome

_LEAST, _MOST = 0.001, 1_000_000
_SYNC_ADVICE = (
    "nats-server acknowledges messages up to two minutes before they are on its disk, unless its configuration says "
    "jetstream { sync_interval: always }, as contrib/hub does. Otherwise let gateways keep what they sent "
    "(forward.keep_acked_mb)."
)


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "init",
        "make the streams of gateways at a hub, or check and correct those that exist",
        run,
        ("cancorderctl hub init tls://hub.example.net", "check all streams"),
        ("cancorderctl hub init tls://hub.example.net truck-17 --max-gb 50", "make or change one"),
    )
    hub_access.add_arguments(parser)
    parser.add_argument(
        "gateways", metavar="GATEWAY", nargs="*", help="name of a gateway (default: all there)"
    )
    add_limits(parser)
    subcommand.add_json(parser)


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the limits of a stream."""
    parser.add_argument(
        "--max-gb",
        metavar="NUMBER",
        type=_size,
        help="size of each stream; beyond, the oldest frames go (default: 10)",
    )
    parser.add_argument(
        "--max-days", metavar="NUMBER", type=_size, help="age at which frames go (default: 30)"
    )
    parser.add_argument(
        "--replicas", metavar="NUMBER", type=subcommand.count, help="servers that hold a copy (default: 1)"
    )


def run(options: argparse.Namespace) -> int:
    from cancorderd.hub import subjects

    for gateway in options.gateways:
        if not subjects.is_gateway_name(gateway):
            raise ControlError(not_a_name(gateway), Exit.USAGE)
    limits, asked = limits_of(options)

    async def call(connection: HubConnection) -> list[Outcome]:
        from cancorderd.hub import jetstream, streams

        streams.require_recent(connection)
        await jetstream.account_info(connection)
        gateways = options.gateways or await streams.gateways(connection)
        return [await streams.ensure_stream(connection, gateway, limits, asked) for gateway in gateways]

    outcomes = hub_access.at_hub(hub_access.access_of(options), call)
    if options.json:
        print(json.dumps([outcome._asdict() for outcome in outcomes], indent=2))
        return Exit.DONE
    for outcome in outcomes:
        print(f"{outcome.stream}: {outcome.action}: {outcome.details}")
    if not outcomes:
        print("No gateway has a stream yet. Name one: cancorderctl hub init URL GATEWAY.", file=sys.stderr)
    print(_SYNC_ADVICE, file=sys.stderr)
    return Exit.DONE


def not_a_name(gateway: str) -> str:
    return f"{gateway!r} cannot be the name of a gateway: use letters, digits, _ and -."


def limits_of(options: argparse.Namespace) -> tuple[Limits, frozenset[str]]:
    """Return the limits, and the keys of those that were given."""
    from cancorderd.hub import stream_plan

    given, asked = {}, set()
    if options.max_gb is not None:
        given["max_bytes"] = int(options.max_gb * stream_plan.GB)
        asked.add("max_bytes")
    if options.max_days is not None:
        given["max_age_s"] = int(options.max_days * stream_plan.DAY_S)
        asked.add("max_age")
    if options.replicas is not None:
        given["replicas"] = options.replicas
        asked.add("num_replicas")
    return stream_plan.Limits(**given), frozenset(asked)


def _size(text: str) -> float:
    """Convert an argument to gigabytes or days; less would be rounded to 0, which is no limit."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not _LEAST <= value <= _MOST:
        raise argparse.ArgumentTypeError(f"{text} is not between {_LEAST:g} and {_MOST:g}")
    return value
