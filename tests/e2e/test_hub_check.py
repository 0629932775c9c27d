"""cancorderctl hub check: each step to a usable hub, with the real nats-server; each failure a sentence with its remedy."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pytest

from cancorderd.cli import cancorderctl
from cancorderd.cli.ctl import hub_check, service_user
from cancorderd.hub import jetstream, login, stream_plan
from cancorderd.hub.access import HubAccess
from cancorderd.hub.connection import open_connection
from cancorderd.hub.failures import NotPermitted
from tests.support.harness import PATIENCE_S, free_port
from tests.support.hub_box import HubBox
from tests.support.nats_server import PROGRAM, NatsServer, OldServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")

BUSES = """
[bus.powertrain]
interface = "mock"
[bus.body]
interface = "mock"
[bus.private]
interface = "mock"
forward = false
"""


class Result(NamedTuple):
    status: int
    output: str
    errors: str


Check: TypeAlias = "Callable[..., Result]"


@pytest.fixture(autouse=True)
def without_service_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the package is installed has one, who may not read the files of a test."""
    monkeypatch.setattr(service_user, "service_user", lambda: None)


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check a [forward] with these keys, beside three buses."""
    monkeypatch.setattr(hub_check, "_WITHIN_S", PATIENCE_S)  # 5 s are short on a busy machine

    def call(*words: str, **keys: object) -> Result:
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in keys.items()]
        file = tmp_path / "cancorder.toml"
        file.write_text("".join(["[forward]\n", *lines, BUSES] if keys else [BUSES]))
        status = cancorderctl.main(["hub", "check", str(file), *words])
        return Result(status, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubBox]:
    server = HubBox(tmp_path_factory.mktemp("hub"))
    server.box.add_gateway("truck-17")
    server.box.add_gateway("truck-18")
    with server:
        asyncio.run(make_stream(server, "truck-17"))
        yield server


async def make_stream(hub: HubBox, gateway: str) -> None:
    admin = await open_connection(hub.access(), "test")
    await jetstream.create_stream(
        admin, stream_plan.stream_config(gateway, stream_plan.Limits(max_bytes=10**9))
    )
    await admin.close()


def keys(hub: HubBox, gateway: str = "truck-17") -> dict[str, object]:
    folder = hub.box.folder
    return {
        "url": [hub.tls_url],
        "gateway": gateway,
        "user": gateway,
        "password_file": f"{folder}/{gateway}.password",
        "ca": f"{folder}/ca.pem",
    }


def test_good_hub(hub: HubBox, check: Check) -> None:
    result = check(**keys(hub))
    assert result.status == 0, result
    lines = [line.split(maxsplit=2) for line in result.output.splitlines()]
    assert lines[0] == [hub.tls_url]
    assert [line[:2] for line in lines[1:]] == [
        ["ok", "tls"], ["ok", "login"], ["ok", "server"], ["ok", "jetstream"], ["ok", "stream"], ["ok", "rights"],
        ["ok", "rights"],
    ]  # fmt: skip
    assert lines[2][2] == "logged in as truck-17"
    assert {line[2] for line in lines[-2:]} == {
        "may publish to can.truck-17.powertrain",
        "may publish to can.truck-17.body",
    }
    document = json.loads(check("--json", **keys(hub)).output)
    assert document["good"]
    assert document["servers"][0]["server"] == hub.tls_url


def test_root_is_told_what_the_service_may_not_read(
    hub: HubBox, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_user, "service_user", lambda: service_user.User(65_533, frozenset({65_533})))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    result = check(**keys(hub))
    assert result.status == 0
    assert "warning  files" in result.output
    assert "may not" in result.output


def test_checking_stores_nothing(hub: HubBox, check: Check) -> None:
    async def messages() -> int:
        admin = await open_connection(hub.access(), "test")
        state = (await jetstream.stream_info(admin, "CAN_truck-17")).state
        await admin.close()
        return state.last_sequence

    assert check(**keys(hub)).status == 0
    assert asyncio.run(messages()) == 0


def test_each_step_that_fails(hub: HubBox, check: Check, tmp_path: Path) -> None:
    good = keys(hub)
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    wrong.chmod(0o640)
    cases: list[tuple[dict[str, object], str, str]] = [
        ({"url": [f"tls://127.0.0.1:{free_port()}"]}, "network", "no server listens there"),
        ({"password_file": str(wrong)}, "login", "truck-17 is refused"),
        (
            keys(hub, "truck-18"),
            "stream",
            f"make it at the hub: sudo cancorderctl hub init {hub.tls_url} truck-18",
        ),
        ({"gateway": "truck-18"}, "rights", "no right to publish to $JS.API.STREAM.INFO.CAN_truck-18"),
    ]
    for change, stage, sentence in cases:
        result = check(**{**good, **change})
        assert result.status == 1
        last = result.output.splitlines()[-1]
        assert last.split()[:2] == ["FAILED", stage]
        assert sentence in last
    without_ca = {key: value for key, value in good.items() if key != "ca"}
    assert "Set ca to the certificate of the hub's authority" in check(**without_ca).output


def test_one_of_two_servers_is_absent(hub: HubBox, check: Check) -> None:
    absent = f"tls://127.0.0.1:{free_port()}"
    result = check(**{**keys(hub), "url": [absent, hub.tls_url]})
    assert result.status == 1
    assert result.output.startswith(f"{absent}\n  FAILED")
    assert "may publish to can.truck-17.body" in result.output
    assert "the spool keeps frames until then" in result.errors


def test_servers_that_cannot_serve(check: Check, tmp_path: Path) -> None:
    bare = NatsServer(tmp_path / "bare")
    bare.file.write_text(f'listen: "127.0.0.1:{bare.port}"\n')
    with bare, OldServer(bare.port) as old:
        assert "JetStream does not answer" in check(url=[bare.url], gateway="truck").output
        result = check(url=[f"nats://127.0.0.1:{old.port}"], gateway="truck")
    assert "too old" in result.output
    with NatsServer(tmp_path / "small", "max_payload: 1000") as small:
        assert "max_payload is 1000, too small for batches" in check(url=[small.url], gateway="truck").output


def test_stream_of_another_form(check: Check, tmp_path: Path) -> None:
    with NatsServer(tmp_path / "hub") as server:

        async def make(name: str, subject: str) -> None:
            admin = await open_connection(HubAccess((server.url,)), "test")
            await jetstream.create_stream(admin, {"name": name, "subjects": [subject]})
            await admin.close()

        asyncio.run(make("CAN_truck", "can.truck.*"))
        result = check(url=[server.url], gateway="truck")
        assert result.status == 0
        assert "warning" in result.output
        assert "allow_direct: viewers cannot read without it" in result.output
        asyncio.run(make("CAN_other", "can.others.*"))
        other = check(url=[server.url], gateway="other")
        assert other.status == 1
        assert "the buses' subjects are not stored here" in other.output
        assert "no stream stores can.other.body. Correct it: sudo cancorderctl hub init" in other.output


def test_server_that_hangs(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each silence is told with the stage that it belongs to."""
    monkeypatch.setattr(hub_check, "_WITHIN_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for scheme, stage, sentence in (
            ("tls", "tls", "accepts connections, but does not answer TLS within"),
            ("nats", "server", "accepts connections, but does not introduce itself within"),
        ):
            result = check(url=[f"{scheme}://127.0.0.1:{port}"], gateway="truck")
            assert result.status == 1
            assert result.output.splitlines()[-1].split()[:2] == ["FAILED", stage]
            assert sentence in result.output


def test_server_that_answers_no_request(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a subscriber of JetStream's API there would be an answer at once: a foreign one keeps silent."""
    bare = NatsServer(tmp_path / "bare")
    bare.file.write_text(f'listen: "127.0.0.1:{bare.port}"\n')
    with bare, socket.create_connection(("127.0.0.1", bare.port)) as deaf:
        deaf.sendall(b"CONNECT {}\r\nSUB $JS.API.> 1\r\nPING\r\n")
        answers = b""
        while b"PONG" not in answers:
            answers += deaf.recv(4096)
        monkeypatch.setattr(hub_check, "_WITHIN_S", 3.0)
        result = check(url=[bare.url], gateway="truck")
    assert result.status == 1
    assert result.output.splitlines()[-1].split()[:2] == ["FAILED", "jetstream"]
    assert "no answer within 3 s" in result.output


def test_stream_that_stores_nothing_as_a_forwarder_sends_it(check: Check, tmp_path: Path) -> None:
    with NatsServer(tmp_path / "hub") as server:

        async def make(gateway: str, key: str, value: object) -> None:
            admin = await open_connection(HubAccess((server.url,)), "test")
            plan = stream_plan.stream_config(gateway, stream_plan.Limits(max_bytes=10**8))
            await jetstream.create_stream(admin, {**plan, key: value})
            await admin.close()

        for gateway, key, value in (("small", "max_msg_size", 100), ("mute", "no_ack", True)):
            asyncio.run(make(gateway, key, value))
            result = check(url=[server.url], gateway=gateway)
            assert result.status == 1
            assert f"CAN_{gateway}: {key}: " in result.output
            assert cancorderctl.main(["hub", "init", server.url, gateway]) == 0
            assert check(url=[server.url], gateway=gateway).status == 0


def test_password_that_this_user_may_not_read(
    hub: HubBox, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests run as root, who may read everything."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o640)

    def refuse(path: str) -> str:
        raise NotPermitted(f"{path}: cannot be read (Permission denied). Run this as root.")

    monkeypatch.setattr(login, "read_secret", refuse)
    result = check(**{**keys(hub), "password_file": str(secret)})
    assert result.status == 4
    assert "FAILED   files" in result.output


def test_file_without_forward_or_with_mistakes(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    none = check()
    assert none.status == 1
    assert "has no [forward]" in none.errors
    mistake = check(url=["ftp://hub"])
    assert mistake.status == 1
    assert "forward.url" in mistake.errors
    assert cancorderctl.main(["hub", "check", str(tmp_path / "none.toml")]) == 1
