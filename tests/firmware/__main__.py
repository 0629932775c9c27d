"""Show the exhibits to their sources and print the table; see `run`."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from tests.firmware import page
from tests.firmware.collection import MUSEUMS
from tests.firmware.visit import visits

if TYPE_CHECKING:
    from tests.firmware.exhibit import Exhibit, Museum
    from tests.firmware.visit import Visit


def chosen(names: list[str]) -> list[tuple[str, Museum, Exhibit]]:
    """Return the exhibits that the arguments name, or all."""
    everything = [(name, museum, exhibit) for name, museum in MUSEUMS.items() for exhibit in museum.EXHIBITS]
    if not names:
        return everything
    found = [entry for entry in everything if entry[0] in names or f"{entry[0]}:{entry[2].name}" in names]
    known = {entry[0] for entry in found} | {f"{entry[0]}:{entry[2].name}" for entry in found}
    if unknown := set(names) - known:
        sys.exit(f"{min(unknown)}: no such museum or exhibit. There are: {', '.join(MUSEUMS)}.")
    return found


def report(visit: Visit) -> bool:
    """Print a line about an exhibit; return whether it gave what it should."""
    exhibit, outcome = visit.exhibit, visit.outcome
    good = exhibit.gives(outcome)
    verdict = "ok  " if good else "FAIL"
    print(f"{verdict} {visit.lasted_s:4.1f} s  {visit.museum}: {exhibit.name}: {exhibit.symptom}")
    print(
        f"               came: {outcome.came}"
        + (f"\n               said: {outcome.said}" if outcome.said else "")
    )
    if not good:
        print(f"        should come: {exhibit.came}\n         be said: {exhibit.said or '(nothing)'}")
    sys.stdout.flush()
    return good


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="tests/firmware/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MUSEUM[:EXHIBIT]")
    parser.add_argument("--write", action="store_true", help="write the page of the guide, and run nothing")
    arguments = parser.parse_args()
    if arguments.write:
        page.PAGE.write_text(page.text(MUSEUMS))
        return 0
    began_s = time.monotonic()
    exhibits = chosen(arguments.names)
    failed = [(visit.museum, visit.exhibit.name) for visit in visits(exhibits) if not report(visit)]
    if failed:
        print("A second try of those that failed, without the others beside them:")
        again = [entry for entry in exhibits if (entry[0], entry[2].name) in failed]
        failed = [(visit.museum, visit.exhibit.name) for visit in visits(again) if not report(visit)]
    good = len(exhibits) - len(failed)
    print(f"{good} of {len(exhibits)} exhibits as declared, in {time.monotonic() - began_s:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
