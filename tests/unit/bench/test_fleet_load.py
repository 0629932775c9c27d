"""The gateways that the benchmark of the hub simulates publish as a forwarder does; outages are timed from what the hub stores."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest

from cancorderd.hub import headers, jetstream
from cancorderd.hub.headers import BatchHead, BatchId
from cancorderd.protocol.packets import PacketDecoder
from tests.bench.fleet.load import Taken
from tests.bench.fleet.messages import Sender, bodies, publication
from tests.bench.fleet.uplink import catching_up
from tests.support.hub_account import Hub

if TYPE_CHECKING:
    from cancorderd.hub.jetstream import StoredMessage

SENDER = Sender("truck-17", "CAN_truck-17", "0123456789abcdef")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_publication_is_that_of_a_forwarder(compressed: bool) -> None:
    body = bodies(97, compressed=compressed)[3]
    text = publication(
        SENDER, "bus2", "_INBOX.1.41", body, number=7, before=582, last_sequence=41, now_us=1000
    )
    line, _, rest = text.partition(b"\r\n")
    *words, head_size, size = line.decode().split()
    assert words == ["HPUB", "can.truck-17.bus2", "_INBOX.1.41"]
    assert len(rest) == int(size) + 2
    assert rest[int(head_size) :] == body.packets + b"\r\n"
    found = jetstream.headers_of(rest[: int(head_size)])
    wanted = BatchHead(BatchId(SENDER.spool, 7), 97, 582, 1000, 1000, compressed=compressed)
    guard = {"Nats-Expected-Stream": "CAN_truck-17", "Nats-Expected-Last-Sequence": "41"}
    assert found == headers.encode(wanted) | guard


@pytest.mark.parametrize("frames", [5, 97, 2909])
def test_a_body_holds_frames_of_a_full_bus(frames: int) -> None:
    plain, small = bodies(frames, compressed=False), bodies(frames, compressed=True)
    assert len(plain[0].packets) == 22 * frames
    decoder = PacketDecoder()
    decoder.receive(zlib.decompress(small[0].packets))
    found = list(decoder.frames())
    assert len(found) == small[0].frames == frames
    assert found[-1].timestamp_us - found[0].timestamp_us == 111 * (frames - 1)


def test_a_full_bus_is_compressed_as_far_as_real_ones() -> None:
    """0.65 to 0.90 of 1.59 Mbit/s."""
    found = bodies(97, compressed=True)
    assert 0.4 < sum(len(body.packets) for body in found) / (len(found) * 97 * 22) < 0.6


class Stored(Hub):
    """A hub with these messages: time of storing, last time stamp, frames; in seconds."""

    def __init__(self, *stored: tuple[float, float, int]) -> None:
        super().__init__("nats://127.0.0.1:1", "truck-17")
        self._stored = stored

    def messages(self) -> list[StoredMessage]:
        return [
            jetstream.StoredMessage(
                number, "can.truck-17.bus0",
                headers.encode(BatchHead(BatchId(SENDER.spool, number), frames, 0, 0, round(1e6 * last_s))),
                b"", round(1e6 * stored_s),
            )
            for number, (stored_s, last_s, frames) in enumerate(self._stored, 1)
        ]  # fmt: skip


def test_catching_up_is_from_the_first_message_after_an_outage_to_the_first_that_is_in_time() -> None:
    hub = Stored((10, 10, 100), (21, 11, 100), (22, 15, 700), (23, 22.9, 50), (24, 24, 50))
    found = catching_up(hub, 20.0)
    assert found
    assert (found.begin_s, found.end_s, found.frames) == (21, 23, 800)


def test_a_gateway_that_has_not_caught_up_is_waited_for() -> None:
    assert catching_up(Stored((10, 10, 100), (21, 11, 100)), 20.0) is None
    with pytest.raises(AssertionError, match="nothing to catch up"):
        catching_up(Stored((10, 10, 100), (21, 20.9, 100)), 20.0)


def test_processor_time_is_that_of_a_message() -> None:
    taken = Taken(
        messages=1000,
        megabytes=1.0,
        seconds=2.0,
        hub_s=0.1,
        idle=0.5,
        ack_ms=(1.0, 2.0),
        pss_mib=30.0,
        descriptors=20,
    )
    assert taken.us == pytest.approx(100)
    assert taken.per_second == 500
