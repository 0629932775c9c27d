"""The page's process beside a real daemon: who may ask for what, what it costs a bus, and how it comes back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest
from aiohttp import ClientSession, TCPConnector, WSMsgType

from tests.support.harness import PATIENCE_S, ROOT, alive, free_port, poll

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Daemon

MOCK = '[bus.body]\ninterface = "mock"\nstart = "always"\n'
PASSWORD = "correct horse battery"
TOKEN = "0123456789abcdef0123"
MEMORY_LIMIT = 300 << 20


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    text: str


class Page:
    """The page of a daemon."""

    def __init__(self, daemon: Daemon, port: int) -> None:
        self.daemon = daemon
        self.port = port

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def status_of(self, path: str, method: str = "GET", **headers: str) -> int:
        return self.ask(path, method, **headers).status

    def process(self) -> psutil.Process | None:
        for child in self.daemon.workers():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "cancorderd.web" in child.cmdline():
                    return child
        return None

    def answers(self) -> bool:
        try:
            return self.status_of("/livez") == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait(self) -> None:
        poll(self.answers, what=f"the page\n{self.daemon.log.read_text()}")


@pytest.fixture
def page(daemon: Callable[[str], Daemon]) -> Callable[..., Page]:
    """Return a function that starts a daemon with a page."""

    def start(keys: str = "", buses: str = MOCK) -> Page:
        port = free_port()
        started = Page(daemon(f"[web]\nport = {port}\n{keys}\n{buses}"), port)
        started.wait()
        return started

    return start


@pytest.fixture
def password_keys(tmp_path: Path) -> str:
    """Return the keys of [web] for a password, which `cancorderctl web password` has written, and a token."""
    password, token = tmp_path / "password", tmp_path / "token"
    written = subprocess.run(
        [sys.executable, "-m", "cancorderd.cli.cancorderctl", "web", "password", str(password)],
        input=f"{PASSWORD}\n", capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert written.returncode == 0, written.stderr
    assert password.stat().st_mode & 0o077 == 0, "nobody else may read it"
    token.write_text(f"{TOKEN}\n")
    return f'password_file = "{password}"\ntoken_file = "{token}"\n'


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'anybody:{password}'.encode()).decode()}"


def test_without_the_table_there_is_no_process(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    running.wait_state("body", "running")
    assert running.status()["web"] is None
    assert Page(running, 1).process() is None


def test_page_state_health_and_metrics(page: Callable[..., Page]) -> None:
    found = page()
    found.daemon.wait_state("body", "running")
    answer = found.ask("/")
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "cancorderd"
    assert "Set-Cookie" not in answer.headers
    status = json.loads(found.ask("/v1/status").text)
    assert [bus["name"] for bus in status["buses"]] == ["body"]
    poll(lambda: found.status_of("/healthz") == 200, what="health")
    assert 'cancorder_bus_state{bus="body",state="running"} 1.0' in found.ask("/metrics").text
    events = found.ask("/v1/events?follow=0").text
    assert "body" in events or poll(lambda: "body" in found.ask("/v1/events?follow=0").text)
    assert f"page: http://127.0.0.1:{found.port}/" in found.daemon.ctl("status").stdout


def test_bus_that_does_not_run_is_unhealthy_and_says_why(page: Callable[..., Page]) -> None:
    found = page(buses='[bus.away]\ninterface = "slcan"\nchannel = "/dev/nowhere<script>alert(1)</script>"\n')
    poll(lambda: "waiting" in found.ask("/healthz").text, what="the reason")
    answer = found.ask("/healthz")
    assert answer.status == 503
    assert "nowhere<script>" in json.loads(answer.text)["problems"][0]
    assert answer.headers["Content-Type"].startswith("application/json"), "no browser takes it for a page"


def test_other_names_and_other_sites_are_refused(page: Callable[..., Page]) -> None:
    found = page('hosts = ["bench.example.com"]')
    assert found.status_of("/", Host=f"rebound.evil.com:{found.port}") == 421
    assert found.status_of("/livez", Host="rebound.evil.com") == 421
    assert found.status_of("/", Host=f"bench.example.com:{found.port}") == 200
    assert found.status_of("/v1/status", Origin="http://evil.com") == 403
    assert found.status_of("/v1/status", Origin="null") == 403
    assert found.status_of("/v1/status", Origin=found.origin) == 200
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    key = {"Sec_WebSocket_Key": base64.b64encode(bytes(16)).decode()}
    assert found.status_of("/ws", Origin="http://evil.com", **upgrade, **key) == 403
    assert found.status_of("/ws", **upgrade, **key) == 403, "browsers always send an origin"


@pytest.mark.parametrize("path", ["/v1/reload", "/v1/buses/body/stop"])
def test_without_control_there_is_no_post(page: Callable[..., Page], path: str) -> None:
    found = page()
    found.daemon.wait_state("body", "running")
    assert found.status_of(path, "POST", Origin=found.origin) in (404, 405)
    assert found.status_of(path, "POST") == 403
    assert found.daemon.bus("body")["state"] == "running"


def test_password_and_token(page: Callable[..., Page], password_keys: str) -> None:
    found = page(password_keys)
    answer = found.ask("/")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert found.status_of("/livez") == 200
    assert found.status_of("/", Authorization=basic(PASSWORD)) == 200
    bearer = f"Bearer {TOKEN}"
    assert [found.status_of(path, Authorization=bearer) for path in ("/metrics", "/v1/status")] == [200, 200]
    assert found.status_of("/", Authorization=bearer) == 401
    assert found.status_of("/v1/reload", "POST", Authorization=bearer, Origin=found.origin) == 401
    wrong = [found.ask("/", Authorization=basic(f"guess {number}")) for number in range(12)]
    assert [answer.status for answer in wrong][:2] == [401, 401]
    assert wrong[-1].status == 429
    assert int(wrong[-1].headers["Retry-After"]) > 0
    assert found.status_of("/livez") == 200


def test_control_needs_the_page_itself(page: Callable[..., Page], password_keys: str) -> None:
    found = page(f"{password_keys}control = true")
    found.daemon.wait_state("body", "running")
    right = {"Authorization": basic(PASSWORD)}
    stop = "/v1/buses/body/stop"
    assert found.status_of(stop, "POST", **right) == 403
    assert found.status_of(stop, "POST", Origin="http://evil.com", **right) == 403
    assert found.status_of(stop, "POST", Origin=found.origin) == 401
    assert found.status_of(stop, "GET", **right) == 405
    assert found.daemon.bus("body")["state"] == "running"
    answer = found.ask(stop, "POST", Origin=found.origin, **right)
    assert (answer.status, json.loads(answer.text)["state"]) == (200, "stopped")
    assert found.daemon.bus("body")["state"] == "stopped"
    assert found.status_of("/v1/reload?dry_run=1", "POST", Origin=found.origin, **right) == 200


def raw(port: int, data: bytes) -> bytes:
    """Return what arrives until the other end closes the connection."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock, contextlib.suppress(OSError):
        sock.sendall(data)
        while piece := sock.recv(1 << 16):
            found += piece
    return found


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return a certificate for localhost, signed by itself, and its key."""
    certificate, key = tmp_path / "page.pem", tmp_path / "page.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    key.chmod(0o600)
    return certificate, key


def test_over_tls_the_certificate_is_the_own_one_and_nothing_is_told_in_clear(
    daemon: Callable[[str], Daemon], certificate: tuple[Path, Path], password_keys: str
) -> None:
    port = free_port()
    keys = f'certificate = "{certificate[0]}"\nkey = "{certificate[1]}"\n{password_keys}'
    running = daemon(f"[web]\nport = {port}\n{keys}\n{MOCK}")
    trusted = ssl.create_default_context(cafile=str(certificate[0]))

    def status_of(path: str, **headers: str) -> int:
        connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE_S, context=trusted)
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def answers() -> bool:
        try:
            return status_of("/livez") == 200
        except OSError:
            return False

    poll(answers, what=f"the page over TLS\n{running.log.read_text()}")
    assert status_of("/v1/status") == 401
    assert status_of("/v1/status", Authorization=basic(PASSWORD)) == 200
    assert f"page: https://127.0.0.1:{port}/" in running.ctl("status").stdout
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain:
        plain.sendall(
            f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: {basic(PASSWORD)}\r\n\r\n".encode()
        )
        with contextlib.suppress(ConnectionError):
            assert b"body" not in plain.recv(1 << 16)
    untrusting = ssl.create_default_context()
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock, pytest.raises(ssl.SSLError):
        untrusting.wrap_socket(sock, server_hostname="localhost")


def test_oversized_and_broken_requests(page: Callable[..., Page]) -> None:
    found = page()
    head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{found.port}\r\nConnection: close\r\n"
    assert b" 400 " in raw(found.port, f"{head}X: {'x' * 100_000}\r\n\r\n".encode())
    assert b" 400 " in raw(found.port, f"GET /{'x' * 100_000} HTTP/1.1\r\n\r\n".encode())
    assert b" 400 " in raw(found.port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    assert b" 200 " not in raw(found.port, f"{head}Content-Length: x\r\n\r\n".encode())
    for path in (
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/../server.py",
        "/index.html/",
        "//etc/passwd",
    ):
        assert found.status_of(path) == 404
    assert found.status_of("/livez") == 200


def test_page_comes_back_when_killed_and_follows_reloads(page: Callable[..., Page]) -> None:
    found = page()
    worker = found.daemon.wait_state("body", "running")["pid"]
    process = found.process()
    assert process
    process.send_signal(signal.SIGKILL)
    poll(lambda: (new := found.process()) is not None and new.pid != process.pid, what="a new process")
    found.wait()
    port = free_port()
    found.daemon.write(f"[web]\nport = {port}\n{MOCK}")
    assert found.daemon.ctl("reload").returncode == 0
    found.port = port
    found.wait()
    found.daemon.write(MOCK)
    assert found.daemon.ctl("reload").returncode == 0
    poll(lambda: found.process() is None, what="the end of the process")
    assert found.daemon.bus("body")["pid"] == worker, "the bus was not touched"


def test_taken_port_is_a_reason_in_the_status(daemon: Callable[[str], Daemon]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = daemon(f"[web]\nport = {port}\n{MOCK}")
        running.wait_state("body", "running")
        reason = poll(lambda: running.status()["web"]["reason"], what="the reason")
        assert f"port {port} cannot be opened" in reason
    page = Page(running, port)
    page.wait()


def test_page_ends_with_its_daemon(page: Callable[..., Page]) -> None:
    found = page()
    process = found.process()
    assert process
    found.daemon.kill()
    poll(lambda: not alive(process.pid), what="the end of the page")


class RawReader:
    """A client that reads and keeps nothing."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._socket.settimeout(None)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._socket.recv(1 << 18):
                self.bytes += len(data)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


async def open_pages(port: int, pages: int, frames_of: str, messages: int) -> list[int]:
    """Open pages from several addresses, and return how many messages each got when all have `messages`."""
    counts = [0] * pages

    async def visit(number: int) -> None:
        connector = TCPConnector(local_addr=(f"127.0.0.{2 + number // 8}", 0))
        origin = f"http://127.0.0.1:{port}"
        async with (
            ClientSession(connector=connector) as session,
            session.ws_connect(f"{origin}/ws", origin=origin, max_msg_size=0) as ws,
        ):
            await ws.send_json({"kind": "watch", "bus": frames_of, "frames": True, "decode": []})
            async for message in ws:
                assert message.type is WSMsgType.TEXT
                counts[number] += 1
                await ws.send_json({"kind": "ready"})
                if min(counts) >= messages:
                    return

    async with asyncio.timeout(2 * PATIENCE_S):
        await asyncio.gather(*(visit(number) for number in range(pages)))
    return counts


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on lo")
def test_fifty_pages_on_a_full_bus_cost_it_no_frame(page: Callable[..., Page]) -> None:
    found = page(buses='[bus.full]\ninterface = "mock"\nrate = 9009\nstart = "always"\n')
    reader = RawReader(found.daemon.wait_port("full"))
    counts = asyncio.run(open_pages(found.port, 50, "full", 20))
    assert min(counts) >= 20
    process = found.process()
    assert process
    assert process.memory_info().rss < MEMORY_LIMIT
    bus: dict[str, Any] = found.daemon.bus("full")
    assert bus["lost"] == {"kernel": 0, "adapter": 0, "clients": 0, "unknown": 0}
    assert len(bus["clients"]) == 1, "pages are no clients"
    assert bus["frames"]["received"] > 0
    assert reader.bytes > 0
    reader.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on lo")
def test_eight_pages_from_one_address(page: Callable[..., Page]) -> None:
    found = page()

    async def check() -> list[int]:
        statuses = []
        async with (
            ClientSession(headers={"Origin": found.origin}) as session,
            contextlib.AsyncExitStack() as stack,
        ):
            for _ in range(8):
                await stack.enter_async_context(session.ws_connect(f"{found.origin}/ws"))
            async with session.get(f"{found.origin}/ws") as ninth:
                statuses.append(ninth.status)
            other = TCPConnector(local_addr=("127.0.0.9", 0))
            async with ClientSession(connector=other, headers={"Origin": found.origin}) as elsewhere:
                await stack.enter_async_context(elsewhere.ws_connect(f"{found.origin}/ws"))
        return statuses

    assert asyncio.run(check()) == [503]
    poll(lambda: found.status_of("/livez") == 200)
