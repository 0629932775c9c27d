"""Text of a run of tests/bench/hub in the guide: between `<!-- hub -->` and `<!-- /hub -->` of two pages."""

from __future__ import annotations

from typing import Any

from tests.bench.fleet.limits import BUSES, FLUSH_10, SERIES
from tests.bench.page import head, number, table

BEGIN, END = "<!-- hub -->", "<!-- /hub -->"


def forwarding_figures(run: dict[str, Any]) -> str:
    return f"{head(run)}\n\n{table(run)}"


def fleet_figures(run: dict[str, Any]) -> str:
    pictures = "\n\n".join(f"![{curve['title']}](fleet/{curve['name']}.svg)" for curve in run["curves"])
    return "\n\n".join([advice(run), head(run), growth_table(run), pictures, capacity_table(run)])


def advice(run: dict[str, Any]) -> str:
    """Return the advice for operators, in two sentences."""
    reached = [_reached(run, series.name) for series in SERIES]
    most = []
    for sync, words in (("always", "`sync_interval: always`"), ("default", "the default sync")):
        found = next(
            each
            for each in run["capacity"]
            if (each["hub"], each["sync"], each["frames"]) == ("box", sync, FLUSH_10)
        )
        most.append(
            f"{number(found['messages_per_s'])} messages/s with {words} ({_round(found['buses'])} full buses with "
            f"`flush_ms = 10`), limited by the {found['limit']}"
        )
    return (
        f"The machine below ({run['head']['cores']} processors, which the programs in place of the gateways used, too) kept "
        f"up with {'; '.join(reached)}. At most it stored {', and '.join(most)}."
    )


def _reached(run: dict[str, Any], series: str) -> str:
    """Return with how many buses a hub kept up, in words."""
    kept = [point for point in run["growth"] if point["series"] == series and point["kept"]]
    name = f"`{series.replace(', always', '` and `sync_interval: always')}`".replace(
        "flush_ms ", "flush_ms = "
    )
    if not kept:
        return f"none of the numbers of buses that were tried with {name}"
    last = kept[-1]
    messages, share = number(last["messages_per_s"]), number(100 * last["cpu"])
    return f"{BUSES * last['gateways']} buses with {name} ({messages} messages/s, {share} % of a core)"


def _round(value: float) -> str:
    """Return a number with two significant digits."""
    return f"{float(f'{value:.2g}'):,.0f}"


def growth_table(run: dict[str, Any]) -> str:
    lines = [
        (
            "| gateways | buses | | messages/s | nats-server, % of a core | µs a message | MiB | descriptors "
            "| acknowledged after, ms: median | 99 % |"
        ),
        "|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for point in run["growth"]:
        taken = f"{number(point['messages_per_s'])}"
        if not point["kept"]:
            taken += f" of {number(point['due_per_s'])}"
        median, late = point["ack_ms"]
        cells = [
            str(point["gateways"]), str(BUSES * point["gateways"]), point["series"], taken, number(100 * point["cpu"]),
            number(point["us"]), number(point["pss_mib"]), str(point["descriptors"]), number(median), number(late),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def capacity_table(run: dict[str, Any]) -> str:
    lines = [
        "| hub | sync | bytes of a body | messages/s | MB/s | full buses | nats-server, % of a core | µs a message | limit |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for each in run["capacity"]:
        cells = [
            each["hub"], each["sync"], f"{each['body']:,}", number(each["messages_per_s"]), number(each["mb_per_s"]),
            _round(each["buses"]), number(100 * each["cpu"]), number(each["us"]), each["limit"],
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def replaced(text: str, figures: str) -> str:
    """Return a page with other figures."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"the page lacks {BEGIN} or {END}"
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"
