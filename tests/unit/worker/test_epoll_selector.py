"""The worker's selector beside that of the standard library: the same answers to the same sockets."""

from __future__ import annotations

import os
import select
import selectors
import socket
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING

import pytest

from cancorderd.worker.epoll_selector import EpollSelector, new_selector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")
BOTH = EVENT_READ | EVENT_WRITE


@pytest.fixture(params=[EpollSelector, selectors.DefaultSelector])
def selector(request: pytest.FixtureRequest) -> Iterator[selectors.BaseSelector]:
    make: Callable[[], selectors.BaseSelector] = request.param
    with make() as selector:
        yield selector


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        yield ours, peer


def ready(selector: selectors.BaseSelector, timeout_s: float = 0.0) -> list[tuple[object, int]]:
    return [(key.data, events) for key, events in selector.select(timeout_s)]


def test_new_selector_is_the_one_with_epoll() -> None:
    with new_selector() as selector:
        assert isinstance(selector, EpollSelector)


def test_ready_for_what_it_is_watched_for(
    selector: selectors.BaseSelector, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, peer = pair
    selector.register(ours, EVENT_READ, "a")
    assert ready(selector) == []
    assert ready(selector, 0.001) == []
    peer.send(b"x")
    assert ready(selector) == [("a", EVENT_READ)]
    selector.modify(ours, BOTH, "b")
    assert ready(selector) == [("b", BOTH)]
    selector.modify(ours, EVENT_WRITE, "b")
    assert ready(selector) == [("b", EVENT_WRITE)]
    selector.modify(ours, EVENT_WRITE, "c")
    assert ready(selector) == [("c", EVENT_WRITE)]
    assert selector.unregister(ours).data == "c"
    assert ready(selector) == []
    selector.register(ours.fileno(), EVENT_READ, "d")
    assert ready(selector, 60.0) == [("d", EVENT_READ)]


@pytest.mark.parametrize("events", [EVENT_READ, EVENT_WRITE, BOTH])
def test_a_socket_that_hung_up_is_ready_for_everything(
    selector: selectors.BaseSelector, pair: tuple[socket.socket, socket.socket], events: int
) -> None:
    ours, peer = pair
    selector.register(ours, events)
    peer.close()
    assert ready(selector) == [(None, events)]


def test_one_registration_for_each_socket(
    selector: selectors.BaseSelector, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, peer = pair
    key = selector.register(ours, EVENT_READ, "a")
    assert selector.get_key(ours) == key
    assert len(selector.get_map()) == 1
    with pytest.raises(KeyError):
        selector.register(ours, EVENT_READ)
    for refused in (selector.get_key, selector.unregister, lambda sock: selector.modify(sock, EVENT_READ)):
        with pytest.raises(KeyError):
            refused(peer)


def test_a_descriptor_that_was_closed_can_be_unregistered(selector: selectors.BaseSelector) -> None:
    reader, writer = os.pipe()
    selector.register(reader, EVENT_READ)
    os.close(reader)
    os.close(writer)
    selector.unregister(reader)
    assert ready(selector) == []


def test_more_ready_sockets_than_a_wake_takes_come_with_the_next() -> None:
    pairs = [socket.socketpair() for _ in range(100)]
    with EpollSelector() as selector:
        for number, (ours, _) in enumerate(pairs):
            selector.register(ours, EVENT_WRITE, number)
        found = {data for _ in range(3) for data, _ in ready(selector)}
        assert found == set(range(100))
    for ours, peer in pairs:
        ours.close()
        peer.close()
