"""The TCP server of a bus, with real sockets and a selector that the test turns."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.config.settings_json import rebuilt
from cancorderd.ipc.messages import ClientHandover
from cancorderd.protocol.audience_mark import MarkedDecoder, audience_mark
from cancorderd.worker import admission, client_connection
from cancorderd.worker.client_server import ClientServer
from tests.support.descriptors import free_descriptors, low_descriptors_in_use
from tests.support.harness import PATIENCE_S
from tests.unit.worker.streams import PACKET_BYTES, batch, connect, numbers, tcp_listener, tcp_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Stage:
    """A server with a listening socket, and its clients."""

    def __init__(self, **keys: Any) -> None:
        share = keys.pop("backlog_share", None)
        settings = rebuilt(MockSettings, {"name": "body", "interface": "mock", **keys})
        self.selector = selectors.DefaultSelector()
        self.notices: list[str] = []
        self.server = ClientServer(
            settings, self.selector, lambda _level, text: self.notices.append(text), share
        )
        self.listener = tcp_listener()
        self.server.listen(self.listener.dup())
        self.clients: list[socket.socket] = []

    def serve(self, timeout_s: float = 0) -> bool:
        """Serve the events of one round; returns False if there were none."""
        ready = self.selector.select(timeout_s)
        for key, events in ready:
            key.data(events)
        return bool(ready)

    def connect(self) -> socket.socket:
        """Connect a client, and let the server accept it or turn it away."""
        client = connect(self.listener)
        self.clients.append(client)
        assert self.serve(PATIENCE_S)
        return client

    def adopt_tap(self, *, marked: bool = False) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.settimeout(PATIENCE_S)
        self.clients.append(theirs)
        self.server.adopt(ClientHandover("", 0, 0, 0, 0, tap=True, marked=marked), ours, b"")
        return theirs

    def stall(self, client: socket.socket) -> int:
        """Broadcast until the backlog of `client`, the only client, holds frames; returns their number."""
        frames = 0
        while not self.server.reports()[0].backlog_bytes:
            self.server.broadcast(batch(frames, 3000))
            frames += 3000
        assert client.fileno() >= 0
        return frames

    def read(self, client: socket.socket, count: int) -> list[int]:
        """Let the client read the next `count` frames, while the server serves it."""
        data = b""
        deadline_s = time.monotonic() + PATIENCE_S
        while (left := count * PACKET_BYTES - len(data)) and time.monotonic() < deadline_s:
            self.serve()
            with contextlib.suppress(BlockingIOError):
                data += client.recv(left, socket.MSG_DONTWAIT)
        return numbers(data)

    def watched_for(self) -> set[int]:
        """The events for which the sockets of clients and taps are watched."""
        return {key.events for key in self.selector.get_map().values() if not is_listening(key.fileobj)}

    def close(self) -> None:
        self.server.close()
        self.selector.close()
        for sock in [self.listener, *self.clients]:
            sock.close()


def is_listening(sock: object) -> bool:
    assert isinstance(sock, socket.socket)
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def closed(client: socket.socket) -> bool:
    """Whether the server has ended the connection."""
    return client.recv(1) == b""


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage; a test's parameter is its settings."""
    stage = Stage(**getattr(request, "param", {}))
    yield stage
    stage.close()


def with_settings(**keys: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stage", [keys], indirect=True, ids=[""])


def test_every_client_receives_every_frame(stage: Stage) -> None:
    clients = [stage.connect() for _ in range(3)]
    stage.server.broadcast(batch(0, 10))
    stage.server.broadcast(batch(10, 10))
    for client in clients:
        assert stage.read(client, 20) == list(range(20))
    assert stage.server.sent == (60, 60 * PACKET_BYTES)
    assert [report.frames_sent for report in stage.server.reports()] == [20] * 3


@with_settings(max_clients=2)
def test_client_beyond_max_clients_is_turned_away(stage: Stage) -> None:
    first, second = stage.connect(), stage.connect()
    third = stage.connect()
    assert closed(third)
    assert stage.server.clients == 2
    assert "refused: max_clients is 2" in stage.notices[-1]
    first.close()
    assert stage.serve(PATIENCE_S)
    stage.connect()
    assert stage.server.clients == 2
    assert second.fileno() >= 0


@with_settings(allow=["10.0.0.0/8"])
def test_client_that_is_not_allowed_is_turned_away(stage: Stage) -> None:
    assert closed(stage.connect())
    assert stage.server.clients == 0
    assert "its address is not in allow" in stage.notices[-1]


@with_settings(allow=["10.0.0.0/8", "127.0.0.1/8"])
def test_client_of_an_allowed_network_is_served(stage: Stage) -> None:
    stage.connect()
    assert stage.server.clients == 1


@with_settings(allow=["127.0.0.0/8"])
def test_ipv4_client_of_an_ipv6_socket_is_known_by_its_ipv4_address(stage: Stage) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        stage.server.listen(listener.dup())
        with socket.create_connection(("127.0.0.1", listener.getsockname()[1])) as client:
            assert stage.serve(PATIENCE_S)
            host, port = client.getsockname()
            assert [report.address for report in stage.server.reports()] == [f"{host}:{port}"]


@with_settings(allow=["10.0.0.0/8"])
def test_client_of_an_earlier_worker_is_disconnected_if_it_is_not_allowed_any_more(stage: Stage) -> None:
    ours, client = tcp_pair()
    stage.clients.append(client)
    stage.server.adopt(ClientHandover("127.0.0.1:5", 0, 0, 0, 0), ours, b"")
    assert closed(client)
    assert stage.server.clients == 0


def test_client_that_disconnects_is_forgotten_and_its_frames_stay_counted(stage: Stage) -> None:
    client = stage.connect()
    stage.server.broadcast(batch(0, 10))
    stage.server.audience_changed = False
    client.close()
    assert stage.serve(PATIENCE_S)
    assert (stage.server.clients, stage.server.reports()) == (0, [])
    assert stage.server.sent == (10, 10 * PACKET_BYTES)
    assert stage.server.audience_changed


def test_client_that_resets_its_connection_is_forgotten_with_the_reason(stage: Stage) -> None:
    for serve in (lambda: stage.serve(PATIENCE_S), lambda: stage.server.broadcast(batch(0, 1))):
        client = stage.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        serve()
        assert stage.server.clients == 0
        assert stage.notices[-1].endswith(" left: Connection reset by peer")


def test_data_from_a_client_is_discarded(stage: Stage) -> None:
    client = stage.connect()
    client.send(b"hello")
    assert stage.serve(PATIENCE_S)
    stage.server.broadcast(batch(0, 1))
    assert stage.read(client, 1) == [0]


def test_socket_is_watched_for_writing_only_while_its_backlog_holds_frames(stage: Stage) -> None:
    client = stage.connect()
    assert stage.watched_for() == {selectors.EVENT_READ}
    frames = stage.stall(client)
    assert stage.watched_for() == {selectors.EVENT_READ | selectors.EVENT_WRITE}
    assert stage.read(client, frames) == list(range(frames))
    assert stage.watched_for() == {selectors.EVENT_READ}
    assert not stage.serve(), "nothing is left to do"
    assert stage.server.reports()[0].backlog_bytes == 0


@with_settings(client_backlog=65536)
def test_stalled_client_loses_its_own_frames_only(stage: Stage) -> None:
    stalled = stage.connect()
    first = stage.stall(stalled)
    other = stage.connect()
    for number in range(5):
        stage.server.broadcast(batch(first + 1000 * number, 1000))
        assert stage.read(other, 1000) == list(range(first + 1000 * number, first + 1000 * (number + 1)))
    report = stage.server.reports()[0]
    assert report.frames_dropped == stage.server.frames_lost > 0
    assert report.backlog_bytes <= 65536
    received = stage.read(stalled, first + 5000 - report.frames_dropped)
    assert received == sorted(set(received)), "whole packets, in order"


@with_settings(client_backlog=65536, slow_client="disconnect")
def test_slow_client_is_disconnected_if_the_settings_say_so(stage: Stage) -> None:
    stage.stall(stage.connect())
    for number in range(3):
        stage.server.broadcast(batch(1000 * number, 1000))
    assert stage.server.clients == 0
    assert (
        "left: reads too slowly (slow_client = disconnect), 1000 frames were dropped for it"
        in stage.notices[-1]
    )


@with_settings(client_backlog=65536, slow_client="disconnect", max_clients=1)
def test_tap_is_no_client_and_is_never_disconnected_for_being_slow(stage: Stage) -> None:
    tap = stage.adopt_tap()
    for number in range(100):
        stage.server.broadcast(batch(1000 * number, 1000))
    assert stage.server.frames_lost_by_taps > 0
    assert (stage.server.frames_lost, stage.server.sent) == (0, (0, 0))
    assert (stage.server.clients, stage.server.reports(), stage.server.audience()) == (0, [], (0, 0))
    client = stage.connect()
    assert stage.server.clients == 1
    tap.close()
    while len(stage.selector.get_map()) == 3:  # listener, tap and client
        assert stage.serve(PATIENCE_S)
    assert stage.server.clients == 1
    assert client.fileno() >= 0


def test_audience_shows_a_client_that_replaced_another(stage: Stage) -> None:
    first = stage.connect()
    assert stage.server.audience() == (0, 1)
    assert stage.server.audience() == (1, 1)
    first.close()
    assert stage.serve(PATIENCE_S)
    stage.connect()
    assert stage.server.audience() == (0, 1)


def test_next_server_continues_the_stream_and_the_counts(stage: Stage) -> None:
    client = stage.connect()
    frames = stage.stall(client)
    ((handover, sock, unsent),) = stage.server.hand_over()
    assert (stage.server.clients, handover.frames_dropped) == (0, 0)
    assert handover.frames_sent + handover.frames_unsent == frames
    following = Stage()
    following.server.adopt(handover, sock, unsent)
    following.server.broadcast(batch(frames, 10))
    assert following.read(client, frames + 10) == list(range(frames + 10))
    assert following.server.sent[0] == handover.frames_unsent + 10, "only the frames sent here"
    assert following.server.reports()[0].frames_sent == frames + 10
    following.close()


def test_tap_is_handed_over_as_a_tap(stage: Stage) -> None:
    stage.adopt_tap()
    ((handover, sock, _),) = stage.server.hand_over()
    assert handover.tap
    sock.close()


def test_no_tap_is_left_after_the_hand_over(stage: Stage) -> None:
    stage.adopt_tap()
    stage.connect()
    for _, sock, _ in stage.server.hand_over():
        sock.close()
    assert stage.server.clients == 0


def test_frames_that_a_tap_got_from_an_earlier_worker_are_in_no_count(stage: Stage) -> None:
    ours, theirs = socket.socketpair()
    stage.clients.append(theirs)
    stage.server.adopt(ClientHandover("", 0, 70, 8, 0, tap=True), ours, b"")
    stage.connect()
    stage.server.broadcast(batch(0, 10))
    assert stage.server.sent == (10, 10 * PACKET_BYTES)
    assert (stage.server.frames_lost, stage.server.frames_lost_by_taps) == (0, 0)


def test_listener_that_the_supervisor_has_shut_down_is_closed(stage: Stage) -> None:
    stage.listener.shutdown(socket.SHUT_RDWR)
    assert stage.serve(PATIENCE_S)
    assert not stage.selector.get_map()


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def talk_and_reset(client: socket.socket) -> None:
    client.send(b"hello")
    reset(client)


@pytest.mark.parametrize("leave", [reset, talk_and_reset, socket.socket.close])
@pytest.mark.parametrize("allow", [[], ["127.0.0.0/8"]], ids=["all", "some"])
def test_client_that_has_left_before_the_adoption_is_dropped(
    allow: list[str], leave: Callable[[socket.socket], None]
) -> None:
    stage = Stage(allow=allow)
    server, client = tcp_pair()
    leave(client)
    other, other_client = tcp_pair()
    stage.clients.append(other_client)
    for address, sock in (("10.0.0.7:1", server), ("10.0.0.7:2", other)):
        stage.server.adopt(ClientHandover(address, 0, 7, 0, 0), sock, b"")
    while stage.serve():
        pass
    assert [report.address for report in stage.server.reports()] == ["10.0.0.7:2"]
    stage.server.broadcast(batch(0, 10))
    assert stage.read(other_client, 10) == list(range(10))
    assert stage.server.sent == (10, 10 * PACKET_BYTES)
    assert any("10.0.0.7:1 left" in notice for notice in stage.notices)
    stage.close()


def test_lack_of_descriptors_pauses_accepting_and_costs_no_processor_time(stage: Stage) -> None:
    present = stage.connect()
    waiting = connect(stage.listener)
    stage.clients.append(waiting)
    with free_descriptors(0):
        assert stage.serve(PATIENCE_S)
        assert "cannot be accepted at present: Too many open files. Raise the limit" in stage.notices[-1]
        assert not stage.serve(0.05), "the waiting client does not wake the loop"
        stage.server.broadcast(batch(0, 5))
        assert stage.read(present, 5) == list(range(5))
        stage.server.resume_accepting()
        assert stage.serve(PATIENCE_S)
        assert not stage.serve(0.05)
    stage.server.resume_accepting()
    assert stage.serve(PATIENCE_S)
    assert stage.server.clients == 2


def test_listener_that_is_shut_down_during_a_pause_is_closed(stage: Stage) -> None:
    stage.clients.append(connect(stage.listener))
    with free_descriptors(0):
        assert stage.serve(PATIENCE_S)
    stage.listener.shutdown(socket.SHUT_RDWR)
    stage.server.resume_accepting()
    while stage.serve():
        pass
    assert not [key for key in stage.selector.get_map().values() if is_listening(key.fileobj)]


def test_clients_leave_descriptors_for_drivers_that_use_select(stage: Stage) -> None:
    with low_descriptors_in_use(600):
        client = stage.connect()
        server, adopted = tcp_pair()
        stage.server.adopt(ClientHandover("10.0.0.7:1", 0, 0, 0, 0), server, b"")
        stage.clients.append(adopted)
        stage.server.broadcast(batch(0, 10))
        for sock in (client, adopted):
            assert stage.read(sock, 10) == list(range(10))
        clients = [key.fd for key in stage.selector.get_map().values() if not is_listening(key.fileobj)]
        assert len(clients) == 2
        assert min(clients) >= 1024
        stage.close()


def test_process_that_a_driver_forks_keeps_no_connection(stage: Stage) -> None:
    client = stage.connect()
    if (helper := os.fork()) == 0:
        stage.server.release()
        signal.pause()
        os._exit(0)
    try:
        stage.server.close()
        assert closed(client)
    finally:
        os.kill(helper, signal.SIGKILL)
        os.waitpid(helper, 0)


SHARE = 1 << 20


def total_backlog(stage: Stage) -> int:
    return sum(report.backlog_bytes for report in stage.server.reports())


@with_settings(backlog_share=SHARE)
def test_all_backlogs_together_keep_to_their_share_and_each_loss_is_counted(stage: Stage) -> None:
    for _ in range(4):
        stage.connect()
    number = 0
    while stage.server.frames_lost < 20_000:
        stage.server.broadcast(batch(number, 500))
        number += 500
        assert total_backlog(stage) <= SHARE
    assert total_backlog(stage) > SHARE * 0.9
    reports = stage.server.reports()
    assert sum(report.frames_dropped for report in reports) == stage.server.frames_lost
    sizes = [report.backlog_bytes for report in reports]
    assert max(sizes) - min(sizes) <= 2 * (500 * PACKET_BYTES + (1 << 15)), "the largest loses first"
    for client in stage.clients:
        received = stage.read(client, 1000)
        assert received == sorted(received)


@with_settings(backlog_share=SHARE)
def test_client_that_reads_loses_nothing_to_those_that_do_not(stage: Stage) -> None:
    reading, *_ = (stage.connect() for _ in range(3))
    number = 0
    while stage.server.frames_lost < 20_000:
        stage.server.broadcast(batch(number, 500))
        assert stage.read(reading, 500) == list(range(number, number + 500))
        number += 500
    assert [report.frames_dropped > 0 for report in stage.server.reports()] == [False, True, True]


def test_lowered_share_takes_effect_at_once(stage: Stage) -> None:
    for _ in range(3):
        stage.connect()
    for number in range(0, 90_000, 500):
        stage.server.broadcast(batch(number, 500))
    before = total_backlog(stage)
    assert before > SHARE
    assert stage.server.frames_lost == 0
    stage.server.set_backlog_share(SHARE)
    assert SHARE * 0.9 < total_backlog(stage) <= SHARE
    stage.server.set_backlog_share(4 * SHARE)
    for number in range(90_000, 95_000, 500):
        stage.server.broadcast(batch(number, 500))
    assert total_backlog(stage) > SHARE, "a larger share, too"


def test_share_below_the_chunks_that_clients_have_in_part_costs_no_search_per_batch(stage: Stage) -> None:
    for _ in range(3):
        stage.connect()
    for number in range(0, 30_000, 500):
        stage.server.broadcast(batch(number, 500))
    stage.server.set_backlog_share(1)
    least = total_backlog(stage)
    assert 0 < least < 4 << 15
    for number in range(30_000, 90_000, 500):
        stage.server.broadcast(batch(number, 500))
        assert total_backlog(stage) < least + 4 * (1 << 15)


@with_settings(backlog_share=SHARE, slow_client="disconnect")
def test_share_disconnects_the_slowest_client_if_slow_clients_are_disconnected(stage: Stage) -> None:
    for _ in range(2):
        stage.connect()
    number = 0
    while stage.server.clients == 2:
        stage.server.broadcast(batch(number, 500))
        number += 500
    assert stage.server.clients == 1
    assert "reads too slowly (slow_client = disconnect)" in stage.notices[-1]


@with_settings(backlog_share=SHARE)
def test_tap_belongs_to_the_share_and_is_no_client(stage: Stage) -> None:
    stage.adopt_tap()
    number = 0
    while not stage.server.frames_lost_by_taps:
        stage.server.broadcast(batch(number, 500))
        number += 500
    assert stage.server.frames_lost == 0


def test_restored_backlogs_keep_to_the_share_of_the_next_worker(stage: Stage) -> None:
    for _ in range(3):
        stage.connect()
    for number in range(0, 90_000, 500):
        stage.server.broadcast(batch(number, 500))
    following = Stage(backlog_share=SHARE)
    for handover, sock, unsent in stage.server.hand_over():
        following.server.adopt(handover, sock, unsent)
    assert total_backlog(following) > SHARE
    following.server.enforce_limits()
    assert SHARE * 0.9 < total_backlog(following) <= SHARE
    for client in stage.clients:
        received = following.read(client, 1000)
        assert received == list(range(1000)), "what a client has in part goes on"
    following.close()


def accept_from(stage: Stage, address: str) -> socket.socket:
    """Connect a client from a loopback address that the test takes for another host's."""
    client = socket.socket()
    stage.clients.append(client)
    client.settimeout(PATIENCE_S)
    client.bind((address, 0))
    client.connect(stage.listener.getsockname())
    assert stage.serve(PATIENCE_S)
    return client


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.1.0/24 be other hosts: a namespace without networks has no other addresses."""
    real = client_connection.ip_address

    def moved(host: str) -> Any:
        return real(host.replace("127.0.1.", "10.0.1."))

    for module in (client_connection, admission):
        monkeypatch.setattr(module, "ip_address", moved)


@pytest.mark.usefixtures("hosts")
@with_settings(max_clients_per_host=2)
def test_one_host_cannot_take_all_places(stage: Stage) -> None:
    first, _ = (accept_from(stage, "127.0.1.1") for _ in range(2))
    assert closed(accept_from(stage, "127.0.1.1"))
    assert stage.notices[-1].endswith("refused: max_clients_per_host is 2")
    accept_from(stage, "127.0.1.2")
    assert stage.server.clients == 3
    first.close()
    assert stage.serve(PATIENCE_S)
    accept_from(stage, "127.0.1.1")
    assert stage.server.clients == 3


@with_settings(max_clients_per_host=1)
def test_loopback_never_counts_for_a_host(stage: Stage) -> None:
    for _ in range(3):
        stage.connect()
    assert stage.server.clients == 3


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("127.0.0.1", ""),
        ("127.8.9.1", ""),
        ("::ffff:127.0.0.1", ""),
        ("::1", ""),
        ("", ""),
    ],
)
def test_host_that_counts(peer: str, host: str) -> None:
    assert client_connection.counted_host(peer) == host


@pytest.mark.usefixtures("hosts")
@pytest.mark.parametrize(
    ("limits", "staying"),
    [
        ({"max_clients": 2}, [0, 1]),
        ({"max_clients_per_host": 1}, [0, 2]),
        ({"max_clients": 1, "max_clients_per_host": 1}, [0]),
    ],
    ids=str,
)
def test_lowered_limit_disconnects_the_youngest(limits: dict[str, int], staying: list[int]) -> None:
    before, after = Stage(), Stage(**limits)
    clients = [accept_from(before, address) for address in ("127.0.1.1", "127.0.1.1", "127.0.1.2")]
    for handover, sock, unsent in reversed(list(before.server.hand_over())):
        after.server.adopt(handover, sock, unsent)
    after.server.enforce_limits()
    after.server.broadcast(batch(0, 1))
    assert [index for index, client in enumerate(clients) if client.recv(1 << 16)] == staying
    assert after.server.clients == len(staying)
    for stage in (before, after):
        stage.close()


@pytest.mark.parametrize("first", ["tap", "client"])
def test_lowered_limit_disconnects_no_tap(first: str) -> None:
    stage = Stage(max_clients=1)
    if first == "tap":
        tap, client = stage.adopt_tap(), stage.connect()
    else:
        client, tap = stage.connect(), stage.adopt_tap()
    stage.server.enforce_limits()
    stage.server.broadcast(batch(0, 1))
    assert numbers(tap.recv(1 << 16)) == numbers(client.recv(1 << 16)) == [0]
    stage.close()


def send_all(client: socket.socket, piece: bytes) -> None:
    """Send a byte, or as much as the connection takes."""
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while client.send(piece) == len(piece) and len(piece) > 1:
            pass
    client.settimeout(PATIENCE_S)


@pytest.mark.parametrize("piece", [b"x", bytes(1 << 16)], ids=["bytes", "megabytes"])
def test_client_that_sends_floods_is_read_a_few_times_a_second(stage: Stage, piece: bytes) -> None:
    flooding, other = stage.connect(), stage.connect()
    for second in range(3):
        stage.server.resume_reading(second)
        stage.server.resume_reading(second + 0.9)
        rounds = 0
        send_all(flooding, piece)
        while stage.serve(0.1):
            rounds += 1
            send_all(flooding, piece)
        assert 1 < rounds < 30
        stage.server.broadcast(batch(second, 1))
        assert stage.read(other, 1) == [second], "others are served"
        assert stage.read(flooding, 1) == [second], "and so is the client itself"


def test_client_that_is_not_read_at_present_is_missed_a_second_later(stage: Stage) -> None:
    client = stage.connect()
    stage.server.resume_reading(0.0)
    while client.send(b"x") and stage.serve(0.1):
        pass
    client.close()
    assert not stage.serve()
    assert stage.server.clients == 1
    stage.server.resume_reading(1.0)
    while stage.serve():
        pass
    assert stage.server.clients == 0


def test_client_that_is_not_read_at_present_is_handed_over(stage: Stage) -> None:
    client = stage.connect()
    while client.send(b"x") and stage.serve(0.1):
        pass
    ((_, sock, _),) = stage.server.hand_over()
    sock.close()
    assert all(is_listening(key.fileobj) for key in stage.selector.get_map().values())


def marked_frames(tap: socket.socket, decoder: MarkedDecoder) -> list[tuple[int | None, int]]:
    """Return the frames that have arrived: the number of clients at each, and its own number."""
    tap.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while data := tap.recv(1 << 16):
            decoder.receive(data)
    return [(decoder.clients, int.from_bytes(frame.data)) for frame in decoder.frames()]


def test_a_marked_tap_gets_the_number_of_clients_ahead_of_their_frames(stage: Stage) -> None:
    tap, plain, decoder = stage.adopt_tap(marked=True), stage.adopt_tap(), MarkedDecoder()
    stage.server.broadcast(batch(0, 1))
    first = stage.connect()
    stage.server.broadcast(batch(1, 1))
    stage.connect()
    stage.server.broadcast(batch(2, 1))
    first.close()
    assert stage.serve(PATIENCE_S)
    stage.server.broadcast(batch(3, 1))
    assert marked_frames(tap, decoder) == [(0, 0), (1, 1), (2, 2), (1, 3)]
    assert numbers(plain.recv(1 << 16)) == [0, 1, 2, 3]


def test_a_mark_keeps_its_place_behind_a_backlog_and_is_repeated_each_second(stage: Stage) -> None:
    tap, decoder = stage.adopt_tap(marked=True), MarkedDecoder()
    sent = 0
    while not stage.server.frames_lost_by_taps:
        stage.server.broadcast(batch(sent, 3000))
        sent += 3000
    stage.connect()
    stage.server.broadcast(batch(sent, 1))
    received: list[tuple[int | None, int]] = []
    while not received or received[-1][1] != sent:
        received += marked_frames(tap, decoder)
        stage.serve()
    assert received[-1] == (1, sent)
    assert {clients for clients, _ in received[:-1]} == {0}
    stage.server.resume_reading(1.0)
    assert tap.recv(100) == audience_mark(1)


def test_a_marked_tap_stays_marked_for_the_next_worker(stage: Stage) -> None:
    stage.adopt_tap(marked=True)
    ((handover, sock, _),) = stage.server.hand_over()
    sock.close()
    assert handover.marked
