"""A hub in a box, a gateway that may write its own stream only, and a viewer that may only read: frames get through."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from cancorderd.cli import cancorderctl
from tests.support.harness import Client, Daemon, poll
from tests.support.hub_box import HubBox
from tests.support.nats_server import PROGRAM
from tests.support.numbered_frames import numbers
from tests.support.staged_gateway import StagedGateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubBox]:
    with HubBox(tmp_path / "box") as server:
        for words in (["truck-17", "--max-gb", "1"], ["lab", "--viewer"]):
            assert cancorderctl.main(["hub", "add", *words, "--folder", str(server.box.folder)]) == 0
        yield server


def gateway(hub: HubBox) -> StagedGateway:
    folder = hub.box.folder
    return StagedGateway(
        hub.tls_url,
        "truck-17",
        user="truck-17",
        password=(folder / "truck-17.password").read_text().strip(),
        inbox_prefix="_INBOX_truck-17",
        tls=ssl.create_default_context(cafile=folder / "ca.pem"),
        tls_handshake_first=True,
    )


def test_tables_of_hub_ls_show_the_gateway(
    hub: HubBox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = hub.box.folder
    words = [
        hub.tls_url,
        "--user",
        "lab",
        "--password-file",
        f"{folder}/lab.password",
        "--ca",
        f"{folder}/ca.pem",
    ]
    (tmp_path / "daemon").mkdir()
    with gateway(hub) as truck:
        truck.send("body", 10)
        capsys.readouterr()
        assert cancorderctl.main(["hub", "ls", *words, "--toml"]) == 0
        tables = capsys.readouterr().out
        with (
            Daemon(tmp_path / "daemon", tables) as daemon,
            Client(daemon.wait_port("truck-17-body")) as client,
        ):
            poll(lambda: daemon.bus("truck-17-body")["details"].get("position") == "live")
            for _ in range(20):
                truck.send("body", 10, compress=True)
            assert numbers(client.wait_frames(200)) == list(range(10, 210))
            assert daemon.bus("truck-17-body")["state"] == "running"
    secrets = [(folder / f"{user}.password").read_text().strip() for user in ("admin", "lab", "truck-17")]
    for place in (daemon.log, hub.log):
        text = place.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], place
