"""The control server on a real Unix socket, in front of a manager with fake workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import socket
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from cancorderd.config.web_settings import WebSettings
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient, ControlError
from cancorderd.control.connections import ControlConnections
from cancorderd.control.control_socket import ControlSocket
from cancorderd.control.protocol import Exit
from cancorderd.control.server import ControlServer, peer_user
from cancorderd.supervisor.event_log import EventLog
from cancorderd.supervisor.manager import Manager
from contrib.openapi import generate
from tests.support.descriptors import free_descriptors
from tests.support.harness import PATIENCE_S
from tests.unit.supervisor.fakes import (
    FakeKeeper,
    ObedientWorker,
    Workers,
    configuration,
    in_event_loop,
    mock_settings,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cancorderd.control.protocol import ReloadAnswer, ReloadDone

OTHER_USER = 65534
WEB_USER = 12_345


NO_CHANGE: ReloadDone = {"changes": [], "notes": [], "done": True, "undone": []}


class Rig:
    """A server whose peers are the user `peer`."""

    def __init__(
        self,
        folder: Path,
        peer: int,
        connections: ControlConnections | None = None,
        comment_every_s: float = 15.0,
    ) -> None:
        self.peer = peer
        self.path = str(folder / "control.sock")
        self.socket = ControlSocket(self.path)
        self.events = EventLog()
        self.reloads: list[bool] = []
        """`dry_run` of each reload."""
        self.reload_answer: ReloadAnswer = NO_CHANGE
        self.manager = Manager(
            configuration(folder, mock_settings(port=5000)),
            "/etc/cancorder.toml",
            lambda _bus: None,
            keeper=FakeKeeper(),
            new_worker=Workers(ObedientWorker),
        )
        self.server = ControlServer(
            self.manager,
            self.events,
            self._reload,
            peer=lambda _sock: self.peer,
            user_name=lambda user: protocol.WEB_USER if user == WEB_USER else "somebody",
            connections=connections or ControlConnections(lambda _sock: self.peer),
            comment_every_s=comment_every_s,
        )

    async def _reload(self, dry_run: bool) -> ReloadAnswer:
        self.reloads.append(dry_run)
        return self.reload_answer

    async def request(self, method: str, target: str) -> tuple[int, Any]:
        """Send a request as curl does; returns the status and the JSON of the answer."""
        reader, writer = await self.connect(method, target)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), json.loads(body) if b"application/json" in head else body.decode()

    async def connect(self, method: str, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(f"{method} {target} HTTP/1.1\r\nHost: cancorder\r\nConnection: close\r\n\r\n".encode())
        return reader, writer

    def emit(self, text: str) -> None:
        self.events.handle(
            logging.makeLogRecord({"msg": text, "levelno": logging.INFO, "levelname": "INFO", "bus": "body"})
        )


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    *,
    peer: int | None = None,
    connections: ControlConnections | None = None,
    comment_every_s: float = 15.0,
) -> AsyncIterator[Rig]:
    rig = Rig(folder, os.geteuid() if peer is None else peer, connections, comment_every_s)
    rig.manager.start()
    with rig.socket.open() as sock:
        await rig.server.start(sock)
        try:
            yield rig
        finally:
            await rig.server.stop()
            await rig.manager.stop()


@in_event_loop
async def test_status_is_the_managers(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        status, answer = await rig.request("GET", "/v1/status")
        assert status == 200
        assert answer["buses"] == rig.manager.status()["buses"]


@in_event_loop
async def test_answers_are_as_the_protocol_describes_them(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        await until(lambda: rig.manager.buses["body"].state == "running")
        rig.emit("running")
        rig.reload_answer = {
            "changes": [{"bus": "body", "kind": "updated", "keys": ["watchdog"]}],
            "notes": [],
            "done": False,
            "undone": [{"name": "body", "state": "failed", "reason": "no bit rate", "done": False}],
        }
        _, stream = await rig.request("GET", "/v1/events?follow=0")
        (event,) = [line[6:] for line in stream.splitlines() if line.startswith("data: ")]
        answers = {
            protocol.IndexAnswer: (await rig.request("GET", "/v1/"))[1],
            protocol.StatusAnswer: (await rig.request("GET", "/v1/status"))[1],
            protocol.LoggedEvent: json.loads(event),
            protocol.ReloadDone: (await rig.request("POST", "/v1/reload"))[1],
            protocol.VerbAnswer: (await rig.request("POST", "/v1/buses/body/stop"))[1],
            protocol.ErrorAnswer: (await rig.request("POST", "/v1/buses/body/paint"))[1],
        }
    for kind, answer in answers.items():
        assert TypeAdapter(generate.rebuilt_answer(kind)).validate_python(answer, strict=True) == answer


@in_event_loop
async def test_the_index_lists_requests_that_are_answered(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        _, index = await rig.request("GET", "/v1/")
        found = [
            (resource["method"], resource["path"].replace("NAME", "body")) for resource in index["resources"]
        ]
        assert len(found) == 7
        for method, path in found:
            if path.endswith("/frames"):
                continue  # never ends
            status, _ = await rig.request(method, f"{path}?follow=0")
            assert status == 200, (method, path)


@in_event_loop
async def test_verbs_return_the_bus_when_it_has_settled(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        stopped = await rig.request("POST", "/v1/buses/body/stop")
        assert stopped == (200, {"name": "body", "state": "stopped", "reason": "", "done": True})
        for verb in ("start", "restart"):
            answer = await rig.request("POST", f"/v1/buses/body/{verb}")
            assert answer == (200, {"name": "body", "state": "running", "reason": "", "done": True})


@in_event_loop
async def test_unknown_buses_verbs_paths_and_methods(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        assert await rig.request("POST", "/v1/buses/none/stop") == (
            404,
            {"error": "there is no bus none. Buses: body."},
        )
        assert await rig.request("POST", "/v1/buses/body/paint") == (
            404,
            {"error": "verbs are start, stop, restart"},
        )
        assert await rig.request("GET", "/v2/status") == (404, {"error": "Not Found"})
        assert await rig.request("GET", "/v1/reload") == (405, {"error": "Method Not Allowed"})


@in_event_loop
async def test_other_users_may_read_but_not_change(tmp_path: Path) -> None:
    async with serving(tmp_path, peer=OTHER_USER) as rig:
        assert (await rig.request("GET", "/v1/status"))[0] == 200
        assert (await rig.request("GET", "/v1/events?follow=0"))[0] == 200
        assert (await rig.request("POST", "/v1/reload?dry_run=1"))[0] == 200
        refused = (403, {"error": "only root and the daemon's own user may change buses. Use sudo."})
        assert await rig.request("POST", "/v1/reload") == refused
        assert await rig.request("POST", "/v1/buses/body/stop") == refused
        assert rig.reloads == [True]
        assert rig.manager.buses["body"].state != "stopped"


@pytest.mark.parametrize(
    ("keys", "may_change"),
    [
        (None, False),
        ({}, False),
        ({"password_file": "/p"}, False),
        ({"password_file": "/p", "control": True}, True),
    ],
)
@in_event_loop
async def test_web_process_may_make_changes_if_its_page_may(
    tmp_path: Path, keys: dict[str, Any] | None, may_change: bool
) -> None:
    async with serving(tmp_path, peer=WEB_USER) as rig:
        web = None if keys is None else WebSettings(**keys)
        rig.manager.configuration = replace(rig.manager.configuration, web=web)
        assert (await rig.request("GET", "/v1/web"))[1]["settings"] == (
            None if web is None else json.loads(json.dumps(asdict(web)))
        )
        for target in ("/v1/reload", "/v1/buses/body/stop"):
            assert (await rig.request("POST", target))[0] == (200 if may_change else 403)
        rig.peer = OTHER_USER
        assert (await rig.request("POST", "/v1/reload"))[0] == 403


@in_event_loop
async def test_root_may_make_changes(tmp_path: Path) -> None:
    async with serving(tmp_path, peer=0) as rig:
        assert (await rig.request("POST", "/v1/reload"))[0] == 200
        assert (await rig.request("POST", "/v1/buses/body/stop"))[0] == 200


@in_event_loop
async def test_a_reload_with_mistakes_has_the_status_422(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        assert await rig.request("POST", "/v1/reload") == (200, NO_CHANGE)
        rig.reload_answer = {
            "problems": ["/etc/cancorder.toml:3: bus.body.speeed: unknown key."],
            "done": False,
        }
        for target in ("/v1/reload", "/v1/reload?dry_run=1"):
            assert await rig.request("POST", target) == (422, rig.reload_answer)
        assert rig.reloads == [False, False, True]


@in_event_loop
async def test_events_are_streamed(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        rig.emit("past")
        _, past = await rig.request("GET", "/v1/events?follow=0")
        assert past.count("data: ") == 1
        assert '"text": "past"' in past
        reader, writer = await rig.connect("GET", "/v1/events")
        head = await reader.readuntil(b'"past"')
        assert b"Content-Type: text/event-stream" in head
        rig.emit("new")
        await reader.readuntil(b'"new"}\n\n')
        writer.close()


@in_event_loop
async def test_a_reader_that_disconnects_is_forgotten_at_the_next_events(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        rig.emit("past")
        reader, writer = await rig.connect("GET", "/v1/events")
        await reader.readuntil(b'"past"')
        writer.close()
        await writer.wait_closed()

        def forgotten() -> bool:
            rig.emit("new")
            return not rig.events._readers

        await until(forgotten)


@in_event_loop
async def test_a_reader_of_events_does_not_delay_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        rig.emit("past")
        reader, writer = await rig.connect("GET", "/v1/events")
        await reader.readuntil(b'"past"')
        async with asyncio.timeout(PATIENCE_S):
            await rig.server.stop()
        writer.close()


def test_the_kernel_identifies_the_peer() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer_user(ours) == os.geteuid()


@in_event_loop
async def test_the_client_gets_typed_answers(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        client = ControlClient(rig.path)
        status = await asyncio.to_thread(client.status)
        assert [bus["name"] for bus in status["buses"]] == ["body"]
        answer = await asyncio.to_thread(client.control, "body", "stop")
        assert answer == {"name": "body", "state": "stopped", "reason": "", "done": True}
        assert await asyncio.to_thread(client.reload, dry_run=True) == NO_CHANGE
        rig.reload_answer = {"problems": ["a mistake"], "done": False}
        assert await asyncio.to_thread(client.reload) == {"problems": ["a mistake"], "done": False}
        assert rig.reloads == [True, False]
        rig.emit("past")
        events = await asyncio.to_thread(lambda: list(client.events(follow=False)))
        assert [event["text"] for event in events] == ["past"]


@in_event_loop
async def test_refusals_become_control_errors(tmp_path: Path) -> None:
    async with serving(tmp_path, peer=OTHER_USER) as rig:
        client = ControlClient(rig.path)
        with pytest.raises(ControlError, match=r"^no permission: only root") as error:
            await asyncio.to_thread(client.control, "body", "stop")
        assert error.value.status == Exit.NO_PERMISSION
    async with serving(tmp_path / "other") as rig:
        client = ControlClient(rig.path)
        with pytest.raises(ControlError, match="there is no bus none") as error:
            await asyncio.to_thread(client.control, "none", "stop")
        assert error.value.status == Exit.FAILED


HEAD = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n"
MALFORMED = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no HTTP": b"nonsense\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "long target": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "long header": HEAD + b"A: " + b"b" * 20_000 + b"\r\n\r\n",
    "many headers": HEAD + b"".join(b"X%d: y\r\n" % number for number in range(50_000)) + b"\r\n",
    "header without value": HEAD + b"Host\r\n\r\n",
    "URL": b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the path": b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the query": b"GET /v1/status?\xff=\x1b[2J HTTP/1.1\r\nHost: \xff\r\n\r\n",
    "length": HEAD + b"Content-Length: -5\r\n\r\n",
    "chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc",
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "compression": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "upgrade": HEAD + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x05",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_leaves_a_line_in_the_log_and_no_traceback(
    tmp_path: Path, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    @in_event_loop
    async def run() -> None:
        async with serving(tmp_path) as rig:
            reader, writer = await asyncio.open_unix_connection(rig.path)
            writer.write(request_bytes)
            assert (await reader.read(20)).startswith(b"HTTP/")
            writer.close()
            assert (await rig.request("GET", "/v1/status"))[0] == 200

    caplog.set_level(logging.INFO)
    run()
    for record in caplog.records:
        assert record.exc_info is None
        assert record.levelno < logging.WARNING
        assert record.getMessage().isprintable()
        assert len(record.getMessage()) < 200


def test_a_request_that_cannot_be_parsed_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    test_a_malformed_request_leaves_a_line_in_the_log_and_no_traceback(tmp_path, MALFORMED["version"], caplog)
    assert "malformed request on the control socket: " in caplog.text


@in_event_loop
async def test_a_reader_of_events_that_leaves_at_once_leaves_no_trace(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        for _ in range(20):
            _, writer = await rig.connect("GET", "/v1/events")
            writer.transport.abort()
        assert (await rig.request("GET", "/v1/status"))[0] == 200


@in_event_loop
async def test_a_restored_socket_takes_over_from_the_removed_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        for _ in range(2):
            os.unlink(rig.path)
            sock = rig.socket.restored()
            assert sock
            await rig.server.listen(sock)
            assert (await rig.request("GET", "/v1/status"))[0] == 200


def own_user(_sock: socket.socket) -> int:
    return os.geteuid()


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """Return everything up to the end of the connection."""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionResetError):
            return await reader.read()
        return b""


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v1/status HTTP/1.1\r\nHost: can"], ids=["nothing", "half a head"]
)
@in_event_loop
async def test_a_request_whose_head_does_not_come_is_ended(tmp_path: Path, sent: bytes) -> None:
    async with serving(tmp_path, connections=ControlConnections(own_user, head_within_s=0.05)) as rig:
        reader, writer = await asyncio.open_unix_connection(rig.path)
        writer.write(sent)
        assert await end_of(reader) == b""
        writer.close()


@in_event_loop
async def test_a_head_that_comes_byte_by_byte_has_no_more_time(tmp_path: Path) -> None:
    async with serving(tmp_path, connections=ControlConnections(own_user, head_within_s=0.1)) as rig:
        reader, writer = await asyncio.open_unix_connection(rig.path)
        ended = asyncio.create_task(end_of(reader))
        async with asyncio.timeout(PATIENCE_S):
            while not ended.done():
                writer.write(b"G")
                await asyncio.sleep(0.01)
        assert b"200" not in await ended
        writer.close()


@in_event_loop
async def test_an_answer_may_take_long_and_an_idle_connection_may_not(tmp_path: Path) -> None:
    async with serving(tmp_path, connections=ControlConnections(own_user, head_within_s=0.05)) as rig:
        release = asyncio.Event()

        async def reload(_dry_run: bool) -> ReloadAnswer:
            await release.wait()
            return rig.reload_answer

        rig.server._reload = reload
        reader, writer = await asyncio.open_unix_connection(rig.path)
        writer.write(b"POST /v1/reload HTTP/1.1\r\nHost: cancorder\r\n\r\n")
        asyncio.get_running_loop().call_later(0.3, release.set)
        assert b"200 OK" in await end_of(reader), "answered, then ended although it could be kept"
        writer.close()


@in_event_loop
async def test_a_connection_that_has_ended_leaves_no_timer(tmp_path: Path) -> None:
    connections = ControlConnections(own_user, head_within_s=600)

    def timers() -> int:
        handles: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        return sum(not handle.cancelled() and handle.when() > begun_s + 500 for handle in handles)

    begun_s = asyncio.get_running_loop().time()
    async with serving(tmp_path, connections=connections) as rig:
        before = timers()
        for _ in range(20):
            reader, writer = await rig.connect("GET", "/v1/status")
            await reader.readuntil(b"}")
            writer.close()
            await writer.wait_closed()
        reader, writer = await rig.connect("GET", "/v1/status")
        await reader.readuntil(b"}")
        assert timers() - before < 10, "each would keep its connection in memory"
        writer.close()


@in_event_loop
async def test_a_stream_of_events_has_no_time_limit_and_gets_comments(tmp_path: Path) -> None:
    connections = ControlConnections(own_user, head_within_s=0.02)
    async with serving(tmp_path, connections=connections, comment_every_s=0.02) as rig:
        reader, writer = await rig.connect("GET", "/v1/events")
        for _ in range(5):
            await reader.readuntil(b"\n: ")
        rig.emit("new")
        await reader.readuntil(b'"new"}\n\n')
        writer.close()


@in_event_loop
async def test_connections_are_limited_and_some_are_reserved_for_those_who_may_make_changes(
    tmp_path: Path,
) -> None:
    connections = ControlConnections(lambda _sock: rig.peer, most=6)
    async with serving(tmp_path, peer=OTHER_USER, connections=connections) as rig:
        idle = [await asyncio.open_unix_connection(rig.path) for _ in range(6)]
        status, answer = await rig.request("GET", "/v1/status")
        assert status == 503
        assert "has 6 connections, as many as it takes" in answer["error"]
        with pytest.raises(ControlError, match="has 6 connections") as error:
            await asyncio.to_thread(ControlClient(rig.path, full_for_s=0).status)
        assert error.value.status == Exit.FAILED
        with pytest.raises(ControlError, match="has 6 connections"):
            await asyncio.to_thread(lambda: list(ControlClient(rig.path, full_for_s=0).events(follow=True)))
        rig.peer = os.geteuid()
        idle += [await asyncio.open_unix_connection(rig.path) for _ in range(3)]
        assert (await rig.request("GET", "/v1/status"))[0] == 200
        idle.append(await asyncio.open_unix_connection(rig.path))
        assert (await rig.request("GET", "/v1/status"))[0] == 503
        rig.peer = OTHER_USER
        for _, writer in idle[:5]:
            writer.close()
        async with asyncio.timeout(PATIENCE_S):
            while (await rig.request("GET", "/v1/status"))[0] != 200:
                pass
        for _, writer in idle[5:]:
            writer.close()


@in_event_loop
async def test_the_client_waits_until_silent_connections_are_ended(tmp_path: Path) -> None:
    connections = ControlConnections(own_user, most=2, head_within_s=0.5)
    async with serving(tmp_path, connections=connections) as rig:
        silent = [await asyncio.open_unix_connection(rig.path) for _ in range(6)]
        assert (await asyncio.to_thread(ControlClient(rig.path, full_for_s=60).status))["buses"]
        for _, writer in silent:
            writer.close()


@in_event_loop
async def test_some_connections_are_served_without_a_free_descriptor_and_the_others_wait(
    tmp_path: Path,
) -> None:
    head = b"GET /v1/status HTTP/1.1\r\nHost: cancorder\r\nConnection: close\r\n\r\n"
    async with serving(tmp_path) as rig:
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(6)]
            with free_descriptors(0):
                for sock in socks:
                    sock.setblocking(False)
                    sock.connect(rig.path)
                loop = asyncio.get_running_loop()
                socks[0].send(head)
                async with asyncio.timeout(PATIENCE_S):
                    assert b"200 OK" in await loop.sock_recv(socks[0], 65536)
                spent_s = time.process_time()
                await asyncio.sleep(1)
                assert time.process_time() - spent_s < 0.5, "the server spins"
            for sock in socks[1:]:
                sock.send(head)
                async with asyncio.timeout(PATIENCE_S):
                    assert b"200 OK" in await loop.sock_recv(sock, 65536)


def test_connections_take_a_quarter_of_few_descriptors() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    try:
        assert ControlConnections(own_user)._most == 16
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert ControlConnections(own_user)._most == 64


@in_event_loop
async def test_an_exception_is_answered_as_json_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(_dry_run: bool) -> ReloadAnswer:
        raise ValueError("broken\x1b[2J\udc80")

    async with serving(tmp_path) as rig:
        rig.server._reload = fails
        status, answer = await rig.request("POST", "/v1/reload")
        assert status == 500
        assert answer == {
            "error": (
                "an error of cancorderd: ValueError: broken?[2J?. Its trace is in the log; please report it."
            )
        }
        assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
            "POST /v1/reload cannot be answered"
        ]
        assert (await rig.request("GET", "/v1/status"))[0] == 200
