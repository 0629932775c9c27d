"""Remote and error frames through a real daemon: to a reader on the control socket and to files, never to a TCP port."""

from __future__ import annotations

import itertools
import signal
from typing import TYPE_CHECKING

from cancorderd.control.client import ControlClient
from cancorderd.protocol.frame import ERROR, REMOTE
from cancorderd.protocol.internal_packets import InternalDecoder
from tests.support.harness import PATIENCE_S, Client, poll

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cancorderd.protocol.frame import Frame
    from tests.support.harness import Daemon

LINES = ["123#01", "20000044#000C000000008800", "124#R4", "00012345#R", "125#02"]


def read_on(sock: socket.socket) -> Iterator[Frame]:
    decoder = InternalDecoder()
    while data := sock.recv(1 << 16):
        decoder.receive(data)
        yield from decoder.frames()


def test_errors_are_seen_on_this_machine_and_recorded_and_never_on_a_port(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    log = tmp_path / "odd.log"
    log.write_text("".join(f"({second}.0) can0 {line}\n" for second, line in enumerate(LINES, 1)))
    running = daemon(
        f'[bus.a]\ninterface = "replay"\nfile = "{log}"\nloop = true\nspeed = 100\n'
        f'record = {{ errors = true, directory = "{tmp_path / "recordings"}" }}\n'
    )
    port = running.wait_state("a", "running")["port"]
    with Client(port) as viewer, ControlClient(str(running.socket)).frames("a") as sock:
        sock.settimeout(PATIENCE_S)

        def audience() -> tuple[int, int]:
            bus = running.bus("a")
            return len(bus["clients"]), bus["readers"]["connected"]

        poll(lambda: audience() == (1, 1), what="the viewer is a client, and the reader is none")
        frames = read_on(sock)
        seen = [
            (frame.arbitration_id, frame.flags, len(frame.data)) for frame in itertools.islice(frames, 50)
        ]
        assert {(0x44, ERROR, 8), (0x124, REMOTE, 4), (0x123, 0, 1)} <= set(seen)
        worker = running.bus("a")["pid"]
        ControlClient(str(running.socket)).control("a", "restart")
        assert running.bus("a")["pid"] != worker
        assert len(list(itertools.islice(frames, 200))) == 200, "the next worker goes on with the reader"
        poll(lambda: len(viewer.frames) > 20, what="the viewer has frames")
        assert {frame.arbitration_id for frame in viewer.frames} == {0x123, 0x125}

    dumped = running.ctl("dump", "a", "--errors", "-L", "-n", "20")
    assert dumped.returncode == 0
    assert {line.split(" ", 1)[1] for line in dumped.stdout.splitlines()} == {f"a {line}" for line in LINES}
    assert running.ctl("dump", f"127.0.0.1:{port}", "--errors").returncode == 2

    recording = poll(lambda: running.bus("a")["recording"])
    assert recording["errors"] > recording["frames"] > 0
    assert recording["errors_dropped"] == recording["dropped"] == 0
    assert running.process
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(PATIENCE_S)
    text = "".join(path.read_text() for path in (tmp_path / "recordings").iterdir())
    assert all(f" {line}" in text for line in LINES)
