"""A real nats-server, and certificates for it, for tests."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from tests.support.harness import PATIENCE_S, free_port, poll

PROGRAM = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
"""nats-server 2.11 or later: `tests/run` installs tests/fleet/requirements.txt."""


class NatsServer:
    """A server with JetStream in `folder`. `settings` is added to its configuration."""

    def __init__(
        self, folder: Path, settings: str = "", *, port: int = 0, host: str = "127.0.0.1", name: str = "hub"
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.host = host
        self.name = name
        self.port = port or free_port()
        self.file = folder / "nats.conf"
        self.log = folder / "nats.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []
        """Command that starts the server, before its own."""
        self.write(settings)

    def write(self, settings: str) -> None:
        self.file.write_text(
            f'server_name: "{self.name}"\nlisten: "{self.host}:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.folder / "jetstream"}", max_file_store: 1GB }}\n{settings}\n'
        )

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"tls://{self.host}:{self.port}"

    def start(self) -> Self:
        self.begin()
        poll(self.accepts, what=f"{self.file} listens: {self.log.read_text(errors='replace')}")
        return self

    def begin(self) -> None:
        """Start the server without waiting for it."""
        assert PROGRAM, "nats-server is missing: tests/run installs it"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.prefix, PROGRAM, "-c", self.file], stdout=log, stderr=log)

    def accepts(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log.read_text(errors="replace")
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def reload(self) -> None:
        """Read the configuration anew, as `nats-server --signal reload`."""
        assert self.process
        before = self.log.read_text(errors="replace").count("Reloaded server configuration")
        self.process.send_signal(signal.SIGHUP)
        poll(lambda: self.log.read_text(errors="replace").count("Reloaded server configuration") > before)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE_S)
            self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_reason: object) -> None:
        self.kill()


def cluster(folder: Path) -> list[NatsServer]:
    """Return three servers that are one hub."""
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    return [
        NatsServer(
            folder / f"hub-{number}",
            f'cluster {{ name: fleet, listen: "127.0.0.1:{port}", routes: [{routes}] }}',
            name=f"hub-{number}",
        )
        for number, port in enumerate(ports, 1)
    ]


class Authority:
    """A certificate authority in `folder`, for servers and users of tests; needs openssl."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
            "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", self._key, "-out", self.certificate,
        )  # fmt: skip

    def issue(
        self, name: str, names: str = "IP:127.0.0.1,DNS:localhost", *, days: int = 365
    ) -> tuple[Path, Path]:
        """Return certificate and key for `names` (subjectAltName), valid for `days` from now."""
        request, key, certificate = (self.folder / f"{name}.{end}" for end in ("csr", "key", "pem"))
        extension = self.folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={names}\n")
        _openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request,
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
            "-days", days, "-extfile", extension, "-out", certificate,
        )  # fmt: skip
        return certificate, key


def tls_settings(certificate: Path, key: Path, *, handshake_first: bool = True, further: str = "") -> str:
    first = str(handshake_first).lower()
    return (
        f'tls {{\n cert_file: "{certificate}"\n key_file: "{key}"\n handshake_first: {first}\n{further}\n}}\n'
    )


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class OldServer:
    """Passes a connection on to a server, and changes the version with which that introduces itself."""

    def __init__(self, port: int, version: str = "2.9.10") -> None:
        self._upstream = port
        self._version = version
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_reason: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_both, args=(client,), daemon=True).start()

    def _pass_both(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._upstream)) as server:
            back = threading.Thread(target=self._pass, args=(server, client), daemon=True)
            back.start()
            self._pass(client, server)
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(re.sub(rb'"version":"[^"]*"', f'"version":"{self._version}"'.encode(), data))
            target.shutdown(socket.SHUT_WR)
