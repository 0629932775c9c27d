"""A hub in a box for tests: the folder that contrib/hub/set-up makes, on a free port, and its nats-server."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from cancorderd.hub.box import Box
from tests.support.harness import ROOT
from tests.support.nats_server import NatsServer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cancorderd.hub.access import HubAccess

NAMES = ("127.0.0.1", "localhost")


class HubBox(NatsServer):
    """A server with the configuration of contrib/hub; `box` adds users. Needs openssl."""

    def __init__(self, folder: Path, *, names: Sequence[str] = NAMES, host: str = NAMES[0]) -> None:
        """The certificate holds for `names`; the server listens on `host`."""
        super().__init__(folder, host=host)
        # The files of a test do not belong to a user of this machine.
        without_user = 'id() { echo 1; }; . "$0"'
        script = ROOT / "contrib/hub/set-up"
        self.file.unlink()
        subprocess.run(
            ["sh", "-c", without_user, script, "--folder", folder / "hub", *names],
            check=True, capture_output=True,
        )  # fmt: skip
        self.box = Box(folder / "hub")
        self.file = folder / "hub/nats-server.conf"
        text = self.file.read_text()
        for found, wanted in (
            (r'listen: ".*"', f'listen: "{self.host}:{self.port}"'),
            ("/run/cancorder-hub", str(folder)),
            ("/var/lib/cancorder-hub", str(folder / "jetstream")),
            (r"http: .*", ""),
            ("100GB", "5GB"),
        ):
            text = re.sub(found, wanted, text)
        self.file.write_text(text)
        access = folder / "hub/admin.toml"
        access.write_text(access.read_text().replace(":4222", f":{self.port}"))

    def access(self, user: str = "admin") -> HubAccess:
        password = self.box.folder / f"{user}.password"
        return replace(self.box.access(), user=user, password_file=str(password))
