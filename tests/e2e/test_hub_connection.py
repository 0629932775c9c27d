"""Connections to a real nats-server: TLS before anything else, logins, and each failure as a sentence."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.hub import direct_get, failures, jetstream
from cancorderd.hub.access import HubAccess
from cancorderd.hub.connection import connect_to, open_connection
from cancorderd.hub.transport import open_transport
from tests.support.harness import free_port
from tests.support.nats_server import PROGRAM, Authority, NatsServer, tls_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")

SECRET = "correct-horse-battery"
USERS = f"""
authorization {{ users: [ {{ user: "truck-17", password: "{SECRET}", permissions: {{
  publish: ["can.truck-17.*", "$JS.API.STREAM.INFO.CAN_truck-17", "$JS.API.STREAM.MSG.GET.CAN_truck-17"],
  subscribe: ["_INBOX_truck-17.>"] }} }}, {{ user: admin, password: "{SECRET}" }} ] }}
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[NatsServer]:
    certificate = authority.issue("hub")
    with NatsServer(tmp_path_factory.mktemp("hub"), tls_settings(*certificate) + USERS) as server:
        yield server


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o640)
    return file


def access(url: str, authority: Authority | None, password: Path | None, user: str = "truck-17") -> HubAccess:
    return HubAccess(
        (url,),
        user=user if password else None,
        password_file=str(password) if password else None,
        ca=str(authority.certificate) if authority else None,
    )


def failure(settings: HubAccess, within_s: float = 30) -> failures.HubError:
    async def opened() -> None:
        await (await open_connection(settings, "test", within_s=within_s)).close()

    with pytest.raises(failures.HubError) as raised:
        asyncio.run(opened())
    assert SECRET not in repr(raised.value)
    return raised.value


def test_tls_first_then_login(hub: NatsServer, authority: Authority, password: Path) -> None:
    async def tried() -> None:
        connection = await open_connection(access(hub.tls_url, authority, password), "test")
        assert connection.open
        assert connection.encrypted
        assert connection.server_name == "hub"
        assert jetstream.server_version(connection.version) >= (2, 11, 0)
        assert connection.max_payload == 1 << 20
        assert connection.notices == []
        assert connection.client.new_inbox().startswith("_INBOX_truck-17.")
        await connection.close()
        assert not connection.open

    asyncio.run(tried())


def test_stream_calls(hub: NatsServer, authority: Authority, password: Path) -> None:
    async def tried() -> None:
        admin = await open_connection(access(hub.tls_url, authority, password, "admin"), "test")
        assert (await jetstream.account_info(admin)).streams == 0
        with pytest.raises(failures.StreamMissing, match="hub init"):
            await jetstream.stream_info(admin, "CAN_truck-17")
        config = {"name": "CAN_truck-17", "subjects": ["can.truck-17.*"], "allow_direct": True}
        made = await jetstream.create_stream(admin, config)
        assert made.state.messages == 0
        assert await jetstream.last_message(admin, "CAN_truck-17", "can.truck-17.*") is None
        for number in range(1, 301):
            await admin.client.publish(
                "can.truck-17.body", b"x" * number, headers={"Cancorder-Batch": f"{number}"}
            )
            await admin.client.publish("can.truck-17.other", b"y")
        await admin.client.flush()
        truck = await open_connection(access(hub.tls_url, authority, password), "test")
        last = await jetstream.last_message(truck, "CAN_truck-17", "can.truck-17.body")
        assert last
        assert last.headers == {"Cancorder-Batch": "300"}
        assert len(last.body) == 300
        first = await jetstream.message(truck, "CAN_truck-17", 1)
        assert first
        assert first.body == b"x"
        state = (await jetstream.stream_info(truck, "CAN_truck-17", subjects=">")).state
        assert state.subjects == {"can.truck-17.body": 300, "can.truck-17.other": 300}
        assert state.last_time_us >= last.time_us >= first.time_us > 1_700_000_000_000_000
        read, sequence = [], 1
        while True:
            batch = await direct_get.read_batch(admin, "CAN_truck-17", "can.truck-17.body", sequence=sequence)
            read += [int(message.headers["Cancorder-Batch"]) for message in batch.messages]
            if not batch.pending:
                break
            sequence = batch.messages[-1].sequence + 1
        assert read == list(range(1, 301))
        assert (await direct_get.read_batch(admin, "CAN_truck-17", "can.truck-17.none")).messages == []
        with pytest.raises(
            failures.Refused, match=r"no right to publish to \$JS.API.STREAM.PURGE.CAN_truck-17"
        ):
            await jetstream.purge_stream(truck, "CAN_truck-17")
        with pytest.raises(failures.Refused):
            await direct_get.read_batch(truck, "CAN_truck-17", "can.truck-17.body")
        assert await jetstream.purge_stream(admin, "CAN_truck-17") == 600
        assert await jetstream.stream_names(admin) == ["CAN_truck-17"]
        await jetstream.update_stream(admin, {**made.config, "max_age": 10**12})
        await jetstream.delete_stream(admin, "CAN_truck-17")
        await truck.close()
        await admin.close()

    asyncio.run(tried())


def test_server_that_introduces_itself_before_tls(
    tmp_path: Path, authority: Authority, password: Path
) -> None:
    certificate = authority.issue("late")
    settings = tls_settings(*certificate, handshake_first=False) + USERS
    with NatsServer(tmp_path / "hub", settings) as server:

        async def tried() -> None:
            connection = await open_connection(access(server.tls_url, authority, password), "test")
            assert connection.encrypted
            await connection.close()

        asyncio.run(tried())


class Listener:
    """A server that sends `greeting` to each client, and keeps what it receives."""

    def __init__(self, greeting: bytes) -> None:
        self.received = bytearray()
        self._greeting = greeting
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._receive, args=(client,), daemon=True).start()

    def _receive(self, client: socket.socket) -> None:
        with client:
            client.sendall(self._greeting)
            while data := client.recv(65_536):
                self.received += data

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


INFO = b'INFO {"server_id":"X","version":"2.15.1","max_payload":1048576,"headers":true%s} \r\n'


@pytest.mark.parametrize(
    "offer", [b"", b',"tls_required":false', b',"tls_available":false,"auth_required":true']
)
def test_stripped_tls_gets_no_login(offer: bytes, authority: Authority, password: Path) -> None:
    stripper = Listener(INFO % offer)
    reason = failure(access(f"tls://127.0.0.1:{stripper.port}", authority, password))
    stripper.close()
    assert isinstance(reason, failures.NoTls)
    assert str(reason).startswith(f"tls://127.0.0.1:{stripper.port}: the server offers no TLS")
    assert b"CONNECT" not in stripper.received
    assert SECRET.encode() not in stripper.received


@pytest.mark.parametrize("first", [False, True])
def test_server_that_asks_for_a_certificate(
    first: bool, authority: Authority, password: Path, tmp_path: Path
) -> None:
    """With TLS 1.3, the server ends the connection when this side has sent its login, in one of several ways."""
    further = f'verify: true\nca_file: "{authority.certificate}"'
    settings = tls_settings(*authority.issue("hub"), handshake_first=first, further=further)
    with NatsServer(tmp_path / "hub", settings + USERS) as server:
        for _ in range(5):
            reason = failure(access(server.tls_url, authority, password))
            assert isinstance(reason, failures.TlsFailed), reason
            assert "asks for a certificate of ours" in str(reason)


def test_stripped_tls_of_a_server_with_another_certificate(tmp_path: Path, password: Path) -> None:
    other, ours = Authority(tmp_path / "other"), Authority(tmp_path / "ours")
    with NatsServer(tmp_path / "hub", tls_settings(*other.issue("hub")) + USERS) as server:
        reason = failure(access(server.tls_url, ours, password))
    assert isinstance(reason, failures.TlsFailed)
    assert "did not issue its certificate" in str(reason)
    assert "Set ca" in str(reason)


@pytest.mark.parametrize(
    ("names", "days", "sentence"),
    [
        ("DNS:other.example", 365, "for another name"),
        ("IP:127.0.0.1", -1, "has expired"),
        ("IP:127.0.0.1", 20, ""),
    ],
)
def test_certificate(
    names: str, days: int, sentence: str, *, tmp_path: Path, authority: Authority, password: Path
) -> None:
    with NatsServer(
        tmp_path / "hub", tls_settings(*authority.issue("x", names, days=days)) + USERS
    ) as server:
        settings = access(server.tls_url, authority, password)
        if sentence:
            assert sentence in str(failure(settings))
            return

        async def tried() -> None:
            connection = await open_connection(settings, "test")
            assert (
                "expires in 19 days" in connection.notices[0] or "expires in 20 days" in connection.notices[0]
            )
            await connection.close()

        asyncio.run(tried())


def test_login_refused(hub: NatsServer, authority: Authority, password: Path, tmp_path: Path) -> None:
    reason = failure(access(hub.tls_url, authority, password, "truck-18"))
    assert isinstance(reason, failures.LoginRefused)
    assert "truck-18 is refused" in str(reason)
    reason = failure(access(hub.tls_url, authority, None))
    assert isinstance(reason, failures.LoginRefused)


def test_files_that_cannot_be_used(
    hub: NatsServer, authority: Authority, password: Path, tmp_path: Path
) -> None:
    password.chmod(0o644)
    assert f"chmod o= {password}" in str(failure(access(hub.tls_url, authority, password)))
    assert "cannot be read" in str(failure(access(hub.tls_url, authority, tmp_path / "none")))
    authority_file = HubAccess((hub.tls_url,), ca=str(tmp_path / "none.pem"))
    assert isinstance(failure(authority_file), failures.AccessMistake)
    (tmp_path / "none.pem").write_text("no certificate")
    assert isinstance(failure(authority_file), failures.AccessMistake)


def test_hub_asks_for_our_certificate(tmp_path: Path, authority: Authority) -> None:
    certificate = authority.issue("mutual")
    further = f'ca_file: "{authority.certificate}"\nverify_and_map: true'
    users = 'authorization { users: [ { user: "CN=truck-17" } ] }'
    with NatsServer(tmp_path / "hub", tls_settings(*certificate, further=further) + users) as server:
        settings = access(server.tls_url, authority, None)
        assert "Set certificate and key" in str(failure(settings))
        ours, key = authority.issue("truck-17", "DNS:truck-17", days=3)
        mutual = HubAccess(
            (server.tls_url,),
            ca=str(authority.certificate),
            certificate=str(ours),
            key=str(key),
            user="truck-17",
        )

        async def tried() -> None:
            connection = await open_connection(mutual, "test")
            assert (
                "expires in 2 days" in connection.notices[0] or "expires in 3 days" in connection.notices[0]
            )
            await connection.close()

        asyncio.run(tried())
        foreign, foreign_key = Authority(tmp_path / "foreign").issue("truck-17")
        wrong = HubAccess((server.tls_url,), ca=mutual.ca, certificate=str(foreign), key=str(foreign_key))
        assert isinstance(failure(wrong), failures.TlsFailed)


def test_places_without_a_hub(authority: Authority, password: Path) -> None:
    refused = failure(access(f"tls://127.0.0.1:{free_port()}", authority, password))
    assert isinstance(refused, failures.Unreachable)
    assert "no server listens there" in str(refused)
    assert isinstance(failure(access("tls://hub.invalid", authority, password)), failures.NameUnknown)
    web = Listener(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert isinstance(failure(HubAccess((f"nats://127.0.0.1:{web.port}",))), failures.NotNats)
    assert isinstance(failure(access(f"tls://127.0.0.1:{web.port}", authority, password)), failures.TlsFailed)
    web.close()
    silent = Listener(b"")
    reason = failure(access(f"tls://127.0.0.1:{silent.port}", authority, password), within_s=1)
    assert isinstance(reason, failures.Unreachable)
    assert isinstance(failure(HubAccess((f"nats://127.0.0.1:{silent.port}",)), within_s=1), failures.NotNats)
    silent.close()


def test_password_stays_off_the_network_without_tls(password: Path) -> None:
    reason = failure(access("nats://192.0.2.1", None, password))
    assert isinstance(reason, failures.AccessMistake)
    assert "unencrypted" in str(reason)


def test_next_server_is_tried(hub: NatsServer, authority: Authority, password: Path) -> None:
    urls = (f"tls://127.0.0.1:{free_port()}", hub.tls_url)
    settings = access(hub.tls_url, authority, password)

    async def tried() -> None:
        connection = await open_connection(
            HubAccess(urls, user=settings.user, password_file=settings.password_file, ca=settings.ca), "test"
        )
        assert str(connection.server) == hub.tls_url
        await connection.close()

    asyncio.run(tried())


def test_end_of_a_connection_is_noticed(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "hub").start()

    async def tried() -> None:
        [address] = HubAccess((server.url,)).servers()
        connection = await connect_to(address, HubAccess((server.url,)), "test")
        server.kill()
        reason = await connection.wait_closed()
        assert isinstance(reason, failures.ConnectionLost)
        assert not connection.open
        with pytest.raises(failures.HubError):
            await jetstream.account_info(connection)
        await connection.close()

    asyncio.run(tried())


def test_server_without_jetstream(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "hub")
    server.file.write_text(f'listen: "127.0.0.1:{server.port}"\n')
    with server:

        async def tried() -> None:
            connection = await open_connection(HubAccess((server.url,)), "test")
            with pytest.raises(failures.NoJetStream, match="Enable it"):
                await jetstream.account_info(connection)
            await connection.close()

        asyncio.run(tried())


def test_connection_of_a_frozen_server_is_closed_soon(tmp_path: Path) -> None:
    """Pending data and an orderly TLS end would wait for the server."""
    server = NatsServer(tmp_path / "hub").start()

    async def tried() -> None:
        connection = await open_connection(HubAccess((server.url,)), "test")
        assert server.process
        server.process.send_signal(signal.SIGSTOP)

        async def send() -> None:
            for _ in range(1000):
                await connection.client.publish("x", b"y" * 65_536)

        sending = asyncio.ensure_future(send())
        with pytest.raises(failures.NoAnswer):
            await jetstream.account_info(connection, within_s=0.2)
        assert not sending.done()
        await connection.close()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    asyncio.run(tried())
    server.kill()


def test_connection_whose_peer_lost_its_power_ends_at_once(tmp_path: Path) -> None:
    """Pings without answers end it; nats-py would first wait until the peer takes the bytes that wait for it."""
    server = NatsServer(tmp_path / "hub").start()

    async def tried() -> None:
        connection = await open_connection(HubAccess((server.url,)), "test")
        assert server.process
        server.process.send_signal(signal.SIGSTOP)

        async def send() -> None:
            while True:
                await connection.client.publish("x", b"y" * 65_536)

        sending = asyncio.ensure_future(send())
        await asyncio.wait({sending}, timeout=0.5)
        connection.client._pings_outstanding = 10
        connection.client.options["ping_interval"] = 0
        stale = asyncio.ensure_future(connection.client._ping_interval())
        reason = await asyncio.wait_for(connection.wait_closed(), 5)
        assert "stale connection" in str(reason)
        await stale
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await connection.close()

    asyncio.run(tried())
    server.kill()


def test_transport_can_be_aborted_when_its_last_bytes_have_been_sent() -> None:
    """As the connection to a hub whose machine was away and takes them after all."""

    async def tried() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"nats://127.0.0.1:{listener.getsockname()[1]}"
            access = HubAccess((url,))
            opening = asyncio.ensure_future(open_transport(access.servers()[0], access))
            peer, _ = await asyncio.to_thread(listener.accept)
            with peer:
                peer.sendall(b"INFO {}\r\n")
                transport: Any = await opening
                transport.write(bytes(8 << 20))
                transport.close()
                await asyncio.to_thread(lambda: all(iter(lambda: peer.recv(1 << 20), b"")))
                await transport.wait_closed()
                transport.abort()

    asyncio.run(tried())
