"""The hub that is measured: nats-server with the configuration of contrib/hub, or bare, and its gateways."""

from __future__ import annotations

import asyncio
import re
import subprocess
from typing import TYPE_CHECKING, Self

from cancorderd.hub import jetstream, streams
from cancorderd.hub.access import HubAccess
from cancorderd.hub.connection import open_connection
from cancorderd.hub.stream_plan import Limits
from cancorderd.hub.subjects import stream_name
from tests.bench.fleet.writer import Account
from tests.support.hub_box import HubBox
from tests.support.nats_server import PROGRAM, NatsServer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cancorderd.hub.connection import HubConnection

DEFAULT, ALWAYS = "default", "always"
"""When the hub syncs its disk: every two minutes, or before each acknowledgement."""
ON_DISK = "/var/tmp"
"""Folder for temporary files; /tmp is in RAM on many systems."""
_STORE = 5_000_000_000
_MB = 1_000_000


class Stage:
    """A hub in `folder`, with streams of `stream_mb` at most. Runs within a `with` block."""

    def __init__(self, folder: Path, *, boxed: bool = True, stream_mb: int = 20) -> None:
        """`boxed`: as contrib/hub/set-up makes it, with TLS, an account for each gateway, and `sync_interval: always`; needs openssl."""
        self.boxed = boxed
        self.server = HubBox(folder) if boxed else NatsServer(folder)
        self._limits = Limits(max_bytes=stream_mb * _MB, max_age_s=0)
        self._box = self.server.box if isinstance(self.server, HubBox) else None
        self._gateways: list[str] = []
        self.set_sync(ALWAYS if boxed else DEFAULT)

    @property
    def pid(self) -> int:
        assert self.server.process
        return self.server.process.pid

    @property
    def ca(self) -> str:
        return str(self._box.folder / "ca.pem") if self._box else ""

    def keys(self, user: str) -> str:
        """Return the keys of a table by which a gateway or a viewer reaches this hub as this user."""
        if self._box is None:
            return f'url = ["{self.server.url}"]\n'
        _, password_file = self._login(user)
        return (
            f'url = ["{self.server.tls_url}"]\nca = "{self.ca}"\n'
            f'user = "{user}"\npassword_file = "{password_file}"\n'
        )

    def set_sync(self, sync: str) -> None:
        """Write the configuration for the next start."""
        text = re.sub(r"\n *sync_interval: .*", "", self.server.file.read_text())
        text = re.sub(r"max_file_store: *\w+", f"max_file_store: {_STORE}", text)
        if sync == ALWAYS:
            text = text.replace("jetstream {", "jetstream {\n  sync_interval: always\n", 1)
        self.server.file.write_text(text)

    def start(self) -> None:
        self.server.start()

    def restart(self, sync: str) -> None:
        self.server.kill()
        self.set_sync(sync)
        self.server.start()

    def add(self, gateways: Iterable[str]) -> None:
        """Make users and streams."""
        fresh = [gateway for gateway in gateways if gateway not in self._gateways]
        self._gateways += fresh
        if self._box and fresh:
            for gateway in fresh:
                self._box.add_gateway(gateway)
            self._reload()
        asyncio.run(self._make_streams(fresh))

    def add_viewer(self, user: str) -> None:
        if self._box:
            self._box.add_viewer(user)
            self._reload()

    def _reload(self) -> None:
        for _ in range(2):  # what a new account imports works from the second reading on (nats-server 2.15)
            self.server.reload()

    def accounts(self, gateways: Iterable[str]) -> list[Account]:
        """Return logins of gateways, and where their streams end."""
        return asyncio.run(self._accounts(list(gateways)))

    @property
    def access(self) -> HubAccess:
        """Return how an administrator reaches the hub."""
        return self.server.access() if isinstance(self.server, HubBox) else HubAccess((self.server.url,))

    async def _make_streams(self, gateways: list[str]) -> None:
        connection = await open_connection(self.access, "benchmark")
        try:
            for gateway in gateways:
                await streams.ensure_stream(connection, gateway, self._limits)
        finally:
            await connection.close()

    async def _accounts(self, gateways: list[str]) -> list[Account]:
        connection = await open_connection(self.access, "benchmark")
        try:
            return [
                Account(gateway, await self._last(connection, gateway), *self._login(gateway))
                for gateway in gateways
            ]
        finally:
            await connection.close()

    async def _last(self, connection: HubConnection, gateway: str) -> int:
        return (await jetstream.stream_info(connection, stream_name(gateway))).state.last_sequence

    def _login(self, gateway: str) -> tuple[str, str]:
        return (gateway, str(self._box.folder / f"{gateway}.password")) if self._box else ("", "")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()


def version() -> str:
    """Return the version of nats-server. Raises AssertionError if it is missing."""
    assert PROGRAM, "nats-server is missing: tests/bench/hub installs it"
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip().rpartition("v")[2]
