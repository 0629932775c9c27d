"""Take the ports of buses for connections, in this new network namespace; failures are exceptions."""

from __future__ import annotations

import os
import socket
import struct
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.harness import Client, Daemon
from tests.support.network_namespace import bring_loopback_up

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXED = 5001
BUSES = f"""
[bus.kept]
interface = "mock"
start = "always"
[bus.fixed]
interface = "mock"
port = {FIXED}
"""


def main() -> None:
    bring_loopback_up()
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder), BUSES)
        memory = Path(folder) / "state" / "ports.toml"
        with daemon:
            kept = daemon.wait_port("kept")
        before = memory.read_text()
        with outgoing_connection(kept), outgoing_connection(FIXED), daemon:
            other = daemon.wait_state("kept", "running")["port"]
            assert other > kept
            check_fixed(daemon)
            with Client(other) as client:
                client.wait_frames(1)
            events = daemon.ctl("events").stdout
            program = f"(process {os.getpid()})"
            line = next(line for line in events.splitlines() if f"port {kept}, which is kept" in line)
            assert "kept: port" in line, line
            assert program in line, line
            assert f"port {other} until the bus is started again" in line, line
            assert memory.read_text() == before
        with daemon:
            assert daemon.wait_state("kept", "running")["port"] == kept
            assert memory.read_text() == before


def check_fixed(daemon: Daemon) -> None:
    """The configured port is waited for; the reason names the program that has it."""
    reason = daemon.wait_state("fixed", "failed")["reason"]
    assert f"port {FIXED} is in use by a connection to 127.0.0.1:" in reason, reason
    assert f"(process {os.getpid()}). End that program or choose another port." in reason, reason


@contextmanager
def outgoing_connection(port: int) -> Iterator[None]:
    """Have a connection from this port, as the system may choose it for any program."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), source_address=("127.0.0.1", port)) as connection,
    ):
        yield
        # Reset it: an orderly end would occupy the port for another minute.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


if __name__ == "__main__":
    main()
