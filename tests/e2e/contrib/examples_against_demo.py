"""Run a demo in this (new) network namespace, and every example against it. Fails with an exception."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.contrib.examples import NAMES, command, stand_in_a_row
from tests.support.harness import ROOT, Client, poll
from tests.support.network_namespace import bring_loopback_up

FRAMES = 60


def main() -> None:
    bring_loopback_up()
    with tempfile.TemporaryDirectory() as runtime:
        demo = subprocess.Popen(
            [sys.executable, "-m", "cancorderd.cli.cancorderd", "--demo"], cwd=ROOT,
            env={**os.environ, "XDG_RUNTIME_DIR": runtime}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert demo.stdout
            port = next(
                found[1] for line in demo.stdout if (found := re.search(r"localhost, port (\d+)", line))
            )
            with Client(int(port)) as reference:
                for name in NAMES:
                    check([*command(name, Path(runtime)), "localhost", port, str(FRAMES)], reference)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(20)


def check(words: list[str], reference: Client) -> None:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done
    printed = done.stdout.splitlines()
    assert len(printed) == FRAMES
    poll(
        lambda: stand_in_a_row(printed, list(reference.frames)),
        what=f"the lines of {words} match the sent frames",
    )


if __name__ == "__main__":
    main()
