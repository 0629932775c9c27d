"""cancorderctl hub, as the administrator of a hub in a box and as a viewer use it, with the real nats-server."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pytest

from cancorderd.cli import cancorderctl
from cancorderd.cli.ctl import hub_access, hub_users
from cancorderd.hub import headers
from cancorderd.hub.connection import open_connection
from tests.support.harness import PATIENCE_S, free_port
from tests.support.hub_box import HubBox
from tests.support.nats_server import PROGRAM, NatsServer, OldServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")

SPOOL = "0123456789abcdef"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubBox]:
    with HubBox(tmp_path_factory.mktemp("hub")) as server:
        yield server


Ctl: TypeAlias = "Callable[..., Result]"


class Result(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def ctl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ctl:
    """Call cancorderctl hub in this process: a process for each would take most of the time."""
    monkeypatch.setattr(hub_access, "_WITHIN_S", PATIENCE_S)
    monkeypatch.setattr(hub_users, "_IN_FORCE_S", PATIENCE_S)

    def call(*words: object) -> Result:
        try:
            status = cancorderctl.main(["hub", *map(str, words)])
        except SystemExit as error:
            status = int(error.code or 0)
        return Result(status, *capsys.readouterr())

    return call


def login(hub: HubBox, user: str) -> list[str]:
    folder = hub.box.folder
    return [
        hub.tls_url,
        "--user",
        user,
        "--password-file",
        f"{folder}/{user}.password",
        "--ca",
        f"{folder}/ca.pem",
    ]


def test_gateway_from_add_to_rm(hub: HubBox, ctl: Ctl) -> None:
    added = ctl("add", "truck-1", "--folder", hub.box.folder, "--max-gb", "0.5")
    assert added.returncode == 0, added.stderr
    forward = tomllib.loads(added.stdout)["forward"]
    assert forward["url"] == [hub.tls_url]
    assert (forward["gateway"], forward["user"]) == ("truck-1", "truck-1")
    assert "CAN_truck-1: made: keeps 0.5 GB or 30 days, 1 replica" in added.stderr
    assert f"{hub.box.folder}/truck-1.password as /etc/cancorder/hub.password" in added.stderr
    secret = (hub.box.folder / "truck-1.password").read_text().strip()
    assert len(secret) == 48
    assert secret not in added.stdout + added.stderr
    assert ctl("add", "--viewer", "seat", "--max-gb", "1", "--folder", hub.box.folder).returncode == 2
    again = ctl("add", "truck-1", "--folder", hub.box.folder)
    assert again.returncode == 1
    assert "exists already" in again.stderr
    removed = ctl("rm", "truck-1", "--folder", hub.box.folder)
    assert removed.returncode == 0
    assert not (hub.box.folder / "truck-1.password").exists()
    assert "no user truck-1" in ctl("rm", "truck-1", "--folder", hub.box.folder).stderr
    known = json.loads(ctl("init", *login(hub, "admin"), "--json").stdout)
    assert "CAN_truck-1" in [stream["stream"] for stream in known]
    assert secret not in hub.log.read_text(errors="replace")


def test_commands_at_once_wait_for_each_other(hub: HubBox) -> None:
    names = [f"cell-{number}" for number in range(4)]
    words = [sys.executable, "-P", "-m", "cancorderd.cli.cancorderctl", "hub", "add", "--max-gb", "0.01"]
    running = [
        subprocess.Popen([*words, "--folder", hub.box.folder, name], stderr=subprocess.PIPE) for name in names
    ]
    for process in running:
        _, errors = process.communicate(timeout=4 * PATIENCE_S)
        assert process.returncode == 0, errors
    assert set(names) <= set(hub.box.names())
    listed = (hub.box.folder / "users/all.conf").read_text()
    assert all(f'include "{name}.conf"' in listed for name in names)


def test_name_that_is_taken_changes_nothing(hub: HubBox, ctl: Ctl) -> None:
    assert ctl("add", "--viewer", "desk", "--folder", hub.box.folder).returncode == 0
    for name in ("desk", "all", "admin"):
        assert ctl("add", name, "--max-gb", "0.01", "--folder", hub.box.folder).returncode == 1
        assert f"CAN_{name}" not in ctl("init", *login(hub, "admin"), "--json").stdout


def test_failure_of_add_leaves_no_user(
    hub: HubBox, ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server of this pid_file is another program, which must not get a signal."""
    monkeypatch.setattr(hub_users, "_IN_FORCE_S", 0.0)
    configuration = hub.box.folder / "nats-server.conf"
    before = configuration.read_text()
    other = subprocess.Popen(["sleep", "600"])
    (tmp_path / "pid").write_text(str(other.pid))
    configuration.write_text(re.sub(r'pid_file: ".*"', f'pid_file: "{tmp_path / "pid"}"', before))
    try:
        added = ctl("add", "--viewer", "bench", "--folder", hub.box.folder)
        assert added.returncode == 1
        assert "its server does not run" in added.stderr
        assert "bench" not in hub.box.names()
        assert not (hub.box.folder / "bench.password").exists()
        hub.box.add_viewer("bench")
        removed = ctl("rm", "bench", "--folder", hub.box.folder)
        assert removed.returncode == 1
        assert "bench is taken away, but" in removed.stderr
        assert "bench" not in hub.box.names()
        assert other.poll() is None
    finally:
        configuration.write_text(before)
        other.kill()
        other.wait()


def test_limits_that_would_be_none(hub: HubBox, ctl: Ctl) -> None:
    for word in ("0", "-1", "nan", "1e-9", "much"):
        for option in ("--max-gb", "--max-days"):
            refused = ctl("add", "car", option, word, "--folder", hub.box.folder)
            assert refused.returncode == 2
            assert "is no number" in refused.stderr or "is not between 0.001 and 1e+06" in refused.stderr


def test_names_that_no_gateway_can_have(hub: HubBox, ctl: Ctl) -> None:
    for name in ("truck.1", "truck 1", "*", "", "a" * 65, "../admin"):
        for words in (("add", name, "--folder", hub.box.folder), ("init", hub.url, name)):
            refused = ctl(*words)
            assert refused.returncode == 2
            assert "use letters, digits, _ and -" in refused.stderr
    assert ctl("add", "admin", "--folder", hub.box.folder).returncode == 1


def test_init_makes_changes_and_keeps(hub: HubBox, ctl: Ctl) -> None:
    made = ctl("init", hub.tls_url, "car", "--max-gb", "0.5", "--max-days", "2", *login(hub, "admin")[1:])
    assert (made.returncode, made.stdout) == (0, "CAN_car: made: keeps 0.5 GB or 2 days, 1 replica\n")
    assert "sync_interval: always" in made.stderr
    kept = ctl("init", hub.tls_url, "car", *login(hub, "admin")[1:])
    assert kept.stdout == "CAN_car: unchanged: keeps 0.5 GB or 2 days, 1 replica\n"
    changed = ctl("init", hub.tls_url, "car", "--max-gb", "0.25", *login(hub, "admin")[1:])
    assert changed.stdout == "CAN_car: changed: max_bytes; keeps 0.25 GB or 2 days, 1 replica\n"
    large = ctl("init", hub.tls_url, "car", "--max-gb", "900", *login(hub, "admin")[1:])
    assert large.returncode == 1
    assert "smaller --max-gb" in large.stderr
    replicas = ctl(
        "init", hub.tls_url, "car2", "--max-gb", "0.1", "--replicas", "3", *login(hub, "admin")[1:]
    )
    assert replicas.returncode == 1
    assert "fewer --replicas" in replicas.stderr


def test_command_that_a_failure_names_works_on_the_hub(
    hub: HubBox, ctl: Ctl, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ctl("add", "--viewer", "typist", "--folder", hub.box.folder).returncode == 0
    assert cancorderctl.main(["dump", "nats:ship-1/a", "--url", *login(hub, "typist")]) == 1
    _, found, command = capsys.readouterr().err.partition("make it at the hub: sudo cancorderctl hub ")
    assert found
    assert ctl(*command.split()).returncode == 1, "this machine is no hub"
    monkeypatch.setattr(hub_access, "FOLDER", str(hub.box.folder))
    made = ctl(*command.split(), "--max-gb", "0.01")
    assert made.returncode == 0, made.stderr
    assert "CAN_ship-1: made" in made.stdout
    assert ctl("ls", hub.tls_url).returncode == 0
    assert ctl("ls", hub.tls_url, "--toml").returncode == 1, "tables are for other machines"
    assert ctl("ls", f"tls://127.0.0.1:{free_port()}").returncode == 1


def test_files_that_this_user_may_not_read(
    hub: HubBox, ctl: Ctl, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests run as root, who may read everything."""

    def refuse(*_words: object, **_keys: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def statuses() -> tuple[int, int]:
        dumped = cancorderctl.main(["dump", "nats:truck/a", "--url", *login(hub, "admin")])
        assert "cannot be read (Permission denied)" in capsys.readouterr().err
        return dumped, ctl("ls", *login(hub, "admin")).returncode

    with monkeypatch.context() as patch:
        patch.setattr("ssl.SSLContext.load_verify_locations", refuse)
        assert statuses() == (4, 4)
    monkeypatch.setattr("cancorderd.hub.login.open", refuse, raising=False)
    assert statuses() == (4, 4)


def test_wrong_usage_and_failures(hub: HubBox, ctl: Ctl, tmp_path: Path) -> None:
    assert "is missing beside user" in ctl("init", hub.tls_url, "--user", "admin").stderr
    assert ctl("init", hub.tls_url, "--user", "admin").returncode == 2
    assert ctl("ls", "tls://admin:secret@127.0.0.1").returncode == 2
    assert "secret" not in ctl("ls", "tls://admin:secret@127.0.0.1").stderr
    assert ctl("ls", "http://127.0.0.1").returncode == 2
    absent = ctl("ls", f"tls://127.0.0.1:{free_port()}")
    assert absent.returncode == 1
    assert "no server listens there" in absent.stderr
    assert "set-up" in ctl("add", "truck", "--folder", tmp_path).stderr
    assert "Set ca" in ctl("ls", hub.tls_url).stderr


def test_old_server_is_refused(ctl: Ctl, tmp_path: Path) -> None:
    """A listener that introduces itself as Debian's nats-server."""
    with NatsServer(tmp_path / "real") as server, OldServer(server.port) as old:
        refused = ctl("init", f"nats://127.0.0.1:{old.port}", "truck")
    assert refused.returncode == 1
    assert "nats-server 2.9.10 is too old" in refused.stderr
    assert "Install 2.11 or later" in refused.stderr


async def stored(
    hub: HubBox, gateway: str, bus: str, batches: list[tuple[int, int, int]], lost: int = 0
) -> None:
    """Publish batches of (frames, first µs, last µs) as a forwarder would."""
    connection = await open_connection(hub.access(gateway), "test")
    before = 0
    for number, (frames, first_us, last_us) in enumerate(batches, 1):
        head = headers.BatchHead(
            headers.BatchId(SPOOL, number), frames, before, first_us, last_us, headers.Losses(spool=lost)
        )
        answer = await connection.request(f"can.{gateway}.{bus}", b"x", headers=headers.encode(head))
        assert b'"error"' not in answer.data
        before += frames
    await connection.close()


def test_ls_as_a_viewer(hub: HubBox, ctl: Ctl) -> None:
    for words in (("bus-7", "--max-gb", "0.5"), ("--viewer", "lab")):
        assert ctl("add", *words, "--folder", hub.box.folder).returncode == 0
    empty = ctl("ls", *login(hub, "lab"), "--json")
    assert (empty.returncode, empty.stdout) == (0, "[]\n"), empty.stderr
    assert "No gateway has sent a frame yet" in empty.stderr
    (silent,) = (line for line in empty.stderr.splitlines() if line.startswith("Without frames: "))
    assert "bus-7" in silent
    now_us = int(time.time() * 1e6)
    seconds = [(100, now_us - (9 - at) * 1_000_000, now_us - (8 - at) * 1_000_000 - 1) for at in range(9)]
    asyncio.run(stored(hub, "bus-7", "powertrain", seconds, lost=3))
    listed = ctl("ls", *login(hub, "lab"))
    assert listed.returncode == 0, listed.stderr
    header, row = listed.stdout.splitlines()
    assert header.split()[:2] == ["GATEWAY", "BUS"]
    assert row.split()[:2] == ["bus-7", "powertrain"]
    assert row.endswith("lost: spool 3")
    (bus,) = json.loads(ctl("ls", *login(hub, "lab"), "--json").stdout)
    assert 90 < bus["frames_per_second"] < 110
    assert bus["lost"] == {"kernel": 0, "adapter": 0, "unknown": 0, "feed": 0, "spool": 3}
    tables = tomllib.loads(ctl("ls", *login(hub, "lab"), "--toml").stdout)["bus"]
    assert tables["bus-7-powertrain"] == {
        "interface": "nats",
        "url": [hub.tls_url],
        "user": "lab",
        "password_file": f"{hub.box.folder}/lab.password",
        "ca": f"{hub.box.folder}/ca.pem",
        "gateway": "bus-7",
        "bus": "powertrain",
    }
    refused = ctl("init", hub.tls_url, "bus-7", *login(hub, "lab")[1:])
    assert refused.returncode == 1
    assert "no right to publish" in refused.stderr


def test_tables_name_files_by_their_whole_path(
    hub: HubBox, ctl: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (("bus-8", "--max-gb", "0.1"), ("--viewer", "hall")):
        assert ctl("add", *words, "--folder", hub.box.folder).returncode == 0
    asyncio.run(stored(hub, "bus-8", "body", [(1, 1, 1)]))
    monkeypatch.chdir(hub.box.folder)
    login_words = (
        hub.tls_url,
        "--user",
        "hall",
        "--password-file",
        "hall.password",
        "--ca",
        "ca.pem",
        "--toml",
    )
    table = tomllib.loads(ctl("ls", *login_words).stdout)["bus"]["bus-8-body"]
    assert table["password_file"] == str(hub.box.folder / "hall.password")
    assert table["ca"] == str(hub.box.folder / "ca.pem")
    assert table["user"] == "hall"


def test_viewers_password_does_not_replace_that_of_a_gateway(hub: HubBox, ctl: Ctl) -> None:
    """A machine may be both."""
    added = ctl("add", "--viewer", "both", "--folder", hub.box.folder)
    assert f"{hub.box.folder}/both.password as /etc/cancorder/both.password" in added.stderr
