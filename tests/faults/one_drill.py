"""Run a drill, in a process and a network of its own, and print its result as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.faults.collection import named
from tests.faults.drill import Drill, Result, Row, Scale
from tests.support.network_namespace import bring_loopback_up


def result(name: str, drill: Drill, scale: Scale) -> Result:
    """Run a drill in an empty folder. An exception of it is a failure like others."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cancorder-drill-") as folder:
        try:
            row = drill.run(Path(folder), scale)
        except Exception as error:  # noqa: BLE001 - the table shows it
            traceback.print_exc()
            row = Row(mistakes=[f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"])
    return Result(name, drill.breaks, row, time.monotonic() - began_s)


def _end(*_: object) -> None:
    """End everything that the drill has started; a second signal must not keep it from that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def main(form: str, minutes: str, name: str) -> None:
    """Run the drill `name`; `form` is short or long, `minutes` the length of the soak or empty."""
    # A shell makes its background processes ignore Ctrl+C, and their children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end)
    if os.environ.get("CANCORDER_FAULTS_APART"):
        bring_loopback_up()
    # Only the result is written to the standard output, whatever the drill prints.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    ((drill,),) = named([name]).values()
    scale = Scale(long=form == "long", minutes=float(minutes) if minutes else None)
    print(json.dumps(result(name, drill, scale).as_json()), file=output, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
