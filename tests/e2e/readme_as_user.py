"""Runs one line of the README in this (fresh) network namespace, and connects; fails by an exception.

`python -m tests.e2e.readme_as_user FOLDER LINE`: the commands are in FOLDER, and the library of a TouCAN.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tests.adapters.toucan_stage import Stage, Word
from tests.e2e import readme_commands
from tests.e2e.demo_as_user import bring_loopback_up
from tests.e2e.readme_commands import Needs, Shell, needs
from tests.harness import Client


def main(folder: Path, line: str) -> None:
    bring_loopback_up()
    readme_commands.install(folder)
    with Stage(folder) as stage:
        stage[Word.RATE] = 100
        stage[Word.MORE] = 1
        os.environ.update(TOUCAN_STAGE=stage.file, LD_LIBRARY_PATH=str(folder))
        with Shell(line, folder) as shell:
            try_out(shell)
            if needs(line) == Needs.TOUCAN:
                rate = re.search(r"--bitrate (\d+)", line)
                index = {"1000000": 0, "500000": -2, "250000": -3, "125000": -4}[
                    rate[1] if rate else "500000"
                ]
                assert stage[Word.INDEX] == index
            shell.end()


def try_out(shell: Shell) -> None:
    """Connect to the port that the line says, or that was picked; look at frames, and at what -v prints."""
    port = shell.wait_port()
    wanted = re.search(r"(?:-p|--port) (\d+)", shell.line)
    if wanted:
        assert port == int(wanted[1])
    else:
        assert port >= 42420
        shell.wait_line(rf"TCP port: {port} \(auto\)")
    with Client(port) as viewer:
        viewer.wait_frames(20)
        shell.wait_line(r"\[server] Client \S+ connected")
        if "-v" in shell.line.split():
            shell.wait_line(r"\[can] # +\d+ .*ID=[0-9A-F]+ DLC=\d+ DATA=\S+ -> 1 client\(s\)")
        ids = {frame.arbitration_id for frame in viewer.frames}
        asked = re.search(r"--tester-id (\S+) --ecu-id (\S+)", shell.line)
        if asked:
            assert ids == {int(asked[1], 16), int(asked[2], 16)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
