"""`cancorderctl dump nats:GATEWAY/BUS`: frames of a bus at a hub, without a daemon."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.fleet.test_viewing import gateway, hub, moment
from tests.support.harness import PATIENCE_S, ROOT, Daemon, free_port, poll
from tests.support.nats_server import PROGRAM, NatsServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.staged_gateway import StagedGateway

pytestmark = pytest.mark.skipif(not PROGRAM, reason="nats-server is missing: tests/run installs it")
__all__ = ["gateway", "hub"]

COMMAND = [sys.executable, "-m", "cancorderd.cli.cancorderctl", "dump"]


def dump(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S, check=False
    )


def numbers_in(lines: str) -> list[int]:
    return [int(json.loads(line)["data"].replace(" ", ""), 16) for line in lines.splitlines()]


def test_span_of_the_past_is_printed_and_ends(hub: NatsServer, gateway: StagedGateway) -> None:
    begin_us = time.time_ns() // 1000 - 60_000_000
    for index in range(20):
        gateway.send("body", 10, stamp_us=begin_us + 10_000 * index)
    span = ["--from", moment(begin_us + 50_005), "--to", moment(begin_us + 100_002)]
    done = dump("nats:truck/body", "--url", hub.url, "--json", *span)
    assert (done.returncode, done.stderr) == (0, "")
    assert numbers_in(done.stdout) == list(range(55, 103))


def test_span_ends_where_the_hub_has_no_more(hub: NatsServer, gateway: StagedGateway) -> None:
    gateway.send("body", 10, stamp_us=time.time_ns() // 1000 - 60_000_000)
    gateway.lose("body", spool=3)
    gateway.send("body", 10, stamp_us=time.time_ns() // 1000 - 50_000_000)
    to = moment(time.time_ns() // 1000 - 10_000_000)
    done = dump("nats:truck/body", "--url", hub.url, "--json", "--from", "all", "--to", to)
    assert numbers_in(done.stdout) == [*range(10), *range(13, 23)]
    assert done.stderr == "cancorderctl: nats:truck/body: lost on the way: spool 3.\n"
    assert done.returncode == 0


def test_live_frames_go_on_over_a_hub_that_was_killed(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    gateway.send("body", 10)
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(
            [*COMMAND, "nats:truck/body", "--from", "all", "--url", hub.url, "--json", "-n", "20"],
            stdout=out, stderr=err, cwd=ROOT,
        )  # fmt: skip
    try:
        poll(lambda: len((tmp_path / "out").read_text().splitlines()) == 10)
        hub.kill()
        poll(lambda: "the connection ended" in (tmp_path / "err").read_text())
        hub.start()
        gateway.reconnect()
        gateway.send("body", 10)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert numbers_in((tmp_path / "out").read_text()) == list(range(20))


def test_losses_are_printed_at_sigterm(hub: NatsServer, gateway: StagedGateway) -> None:
    """`timeout` and service managers end a command so."""
    gateway.send("body", 1)
    gateway.lose("body", spool=3)
    gateway.send("body", 1)
    words = [*COMMAND, "nats:truck/body", "--from", "all", "--url", hub.url, "--json"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout
        assert ['"data"' in process.stdout.readline() for _ in range(2)] == [True, True]
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert errors == "cancorderctl: nats:truck/body: lost on the way: spool 3.\n"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nats:truck/other", "--from", "yesterday"], 2, "--from"),
        (["nats:truck"], 2, "Write nats:GATEWAY/BUS"),
        (["nats:ship/body"], 1, "there is no stream CAN_ship"),
        (["nats:truck/body", "--user", "viewer"], 2, "--password-file"),
        (["nats:truck/body", "--to", "2026-01-01T00:00:00Z"], 2, "Add --from"),
        (["nats:truck/body", "--from", "9999-12-31T23:59:59-23:59"], 2, "too far away"),
    ],
)
def test_mistakes(
    hub: NatsServer, gateway: StagedGateway, arguments: list[str], status: int, words: str
) -> None:
    done = dump(*arguments, "--url", hub.url)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr


def test_begin_in_the_future_is_told(hub: NatsServer, gateway: StagedGateway) -> None:
    gateway.send("body", 1)
    later = moment(time.time_ns() // 1000 + 86_400_000_000)
    done = dump("nats:truck/body", "--url", hub.url, "--from", later, "--timeout", "0.1")
    assert (done.returncode, done.stdout) == (0, "")
    assert "--from: is 23h59m ahead, and nothing is printed before." in done.stderr or "1d00h" in done.stderr


def test_bus_that_the_hub_does_not_know(hub: NatsServer, gateway: StagedGateway) -> None:
    gateway.send("body", 1)
    done = dump("nats:truck/bdoy", "--url", hub.url, "--from", "all", "--timeout", "2")
    assert (
        "can.truck.bdoy: the hub holds no frame of this bus. The hub holds body of this gateway."
        in done.stderr
    )


def test_user_who_may_not_read_is_told_once(gateway: StagedGateway, hub: NatsServer, tmp_path: Path) -> None:
    """The connection is no success while the messages cannot be read."""
    may = '{ publish: [ "$JS.API.STREAM.INFO.*" ], subscribe: [ "_INBOX_half.>", "can.>" ] }'
    with NatsServer(
        tmp_path / "strict",
        f'authorization {{ users: [ {{ user: "half", password: "p", permissions: {may} }}, {{ user: "a", password: "p" }} ] }}',
    ) as strict:
        secret = tmp_path / "password"
        secret.write_text("p")
        secret.chmod(0o640)
        login = ("--password-file", str(secret), "--user")
        made = subprocess.run(
            [*COMMAND[:-1], "hub", "init", strict.url, "truck", "--max-gb", "0.01", *login, "a"],
            cwd=ROOT, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        assert made.returncode == 0
        done = dump("nats:truck/body", "--url", strict.url, *login, "half")
    assert done.returncode == 1
    assert "half has no right to publish to $JS.API.DIRECT.GET.CAN_truck" in done.stderr
    assert "connected again" not in done.stderr


def test_user_who_may_not_subscribe_is_told_that_frames_come_late(tmp_path: Path) -> None:
    may = '{ publish: [ "$JS.API.STREAM.INFO.*", "$JS.API.DIRECT.GET.*" ], subscribe: [ "_INBOX_half.>" ] }'
    users = f'{{ user: "half", password: "p", permissions: {may} }}, {{ user: "a", password: "p" }}'
    with NatsServer(tmp_path / "strict", f"authorization {{ users: [ {users} ] }}") as strict:
        secret = tmp_path / "password"
        secret.write_text("p")
        secret.chmod(0o640)
        login = ("--password-file", str(secret), "--user")
        made = subprocess.run(
            [*COMMAND[:-1], "hub", "init", strict.url, "truck", "--max-gb", "0.01", *login, "a"],
            cwd=ROOT, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        assert made.returncode == 0
        done = dump("nats:truck/body", "--url", strict.url, *login, "half", "--timeout", "1")
    assert "half has no right to subscribe to can.truck.body" in done.stderr
    assert "frames come up to 5 s late" in done.stderr
    assert "the hub holds no frame of this bus. Its gateway has sent nothing yet." in done.stderr


def test_hub_that_is_away(hub: NatsServer) -> None:
    hub.kill(signal.SIGTERM)
    done = dump("nats:truck/body", "--url", hub.url)
    assert done.returncode == 1
    assert "no server listens there" in done.stderr


def test_without_url_the_configured_hub_is_read(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    """A bus at a hub names it, first of all one of this gateway; else [forward] does."""
    gateway.send("body", 10)
    mock = '[bus.a]\ninterface = "mock"\n'
    forward = f'[forward]\nurl = ["{hub.url}"]\ngateway = "other"\n'
    viewed = '[bus.{0}]\ninterface = "nats"\nurl = ["{1}"]\ngateway = "{0}"\nbus = "body"\n'
    away = f"nats://127.0.0.1:{free_port()}"
    words = ("dump", "nats:truck/body", "--from", "all", "-n", "10", "--json")
    with Daemon(tmp_path, mock) as daemon:
        done = daemon.ctl(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{daemon.file} names no hub. Write --url" in done.stderr
        daemon.write(forward + mock)
        done = daemon.ctl(*words)
        assert (done.returncode, numbers_in(done.stdout)) == (0, [*range(10)]), done.stderr
        daemon.write(forward + viewed.format("ship", away))
        done = daemon.ctl(*words)
        assert done.returncode == 1
        assert away in done.stderr
        daemon.write(forward + viewed.format("ship", away) + viewed.format("truck", hub.url))
        done = daemon.ctl(*words)
        assert (done.returncode, numbers_in(done.stdout)) == (0, [*range(10)]), done.stderr
