"""Runs a line of the ancestor's README in this (fresh) network namespace, and connects; fails by an exception.

`python -m tests.e2e.ancestors_command_as_user FOLDER LINE`: FOLDER receives the commands and the library of a TouCAN.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tests.e2e import ancestors_commands
from tests.e2e.ancestors_commands import Needs, Shell, needs
from tests.support.harness import Client
from tests.support.network_namespace import bring_loopback_up
from tests.support.toucan_stage import Stage, Word


def main(folder: Path, line: str) -> None:
    bring_loopback_up()
    ancestors_commands.install(folder)
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
    """Connect to the port of the line, or to the automatic one; check the frames and the output of -v."""
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
