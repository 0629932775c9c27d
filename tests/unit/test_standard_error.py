"""What a worker prints: whole printable lines, and never a wait."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

from cancorderd.standard_error import LineOutput
from tests.support.harness import PATIENCE_S, ROOT

FLOOD = """
import faulthandler, os, sys
from cancorderd.standard_error import print_without_waiting
print_without_waiting()
for number in range(5000):
    print("driver", number, file=sys.stderr)
    print("driver", number)
    try:
        os.write(2, b"library\\n" * 100)
    except BlockingIOError:
        pass
faulthandler.dump_traceback(file=2)
os.write(int(sys.argv[1]), b"done")
"""


def test_a_reader_that_stands_still_delays_nothing() -> None:
    errors, theirs = os.pipe()
    done, ours = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", FLOOD, str(ours)], stdout=theirs, stderr=theirs, pass_fds=[ours], cwd=ROOT
    )
    try:
        assert process.wait(PATIENCE_S) == 0
        assert os.read(done, 10) == b"done"
        assert os.get_blocking(theirs), "whoever shares the pipe is not affected"
    finally:
        process.kill()
        for descriptor in (errors, theirs, done, ours):
            os.close(descriptor)


def test_missing_lines_are_counted_and_lines_are_printable() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    output = LineOutput(writer, "ascii")
    output.write(b"\x1b[2Jwho" + "le ü".encode())
    output.write(b" line\nnext")
    assert os.read(reader, 100) == b"?[2Jwhole ? line\n"
    while not output._dropped:
        output.write(b"x" * 99 + b"\n")
    os.read(reader, 1 << 16)
    output.write(b"seen\n")
    found = os.read(reader, 1 << 16).decode().splitlines()
    assert found == ["(1 lines are missing here: the reader of this output was too slow)", "seen"]
    output.write(b"y" * 200_000)
    assert len(os.read(reader, 1 << 16)) == 1001
    os.close(reader)
    output.write(b"nobody\n")
    os.close(writer)
