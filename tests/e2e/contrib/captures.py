"""Captures of TCP streams, generated with scapy in segments chosen by a test."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scapy.packet import Packet

EPOCH_S = 1_700_000_000.0


class Stream:
    """A connection with its handshake; `segments` are (offset in the stream, bytes) from the server."""

    def __init__(
        self, segments: Iterable[tuple[int, bytes]], port: int = 42420, client: int = 50_000
    ) -> None:
        self.segments = list(segments)
        self.port = port
        self.client = client

    def packets(self) -> Iterable[Packet]:
        yield self._packet(flags="S", seq=999, from_client=True)
        yield self._packet(flags="SA", seq=4_999)
        yield self._packet(flags="A", seq=1_000, from_client=True)
        for offset, data in self.segments:
            yield self._packet(flags="PA", seq=5_000 + offset, data=data)

    def _packet(self, *, flags: str, seq: int, data: bytes = b"", from_client: bool = False) -> Packet:
        ends = [("10.0.0.1", self.port), ("10.0.0.2", self.client)]
        source, target = reversed(ends) if from_client else ends
        segment = TCP(
            sport=source[1], dport=target[1], seq=seq, ack=5_000 if from_client else 1_000, flags=flags
        )
        whole = (
            Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02")
            / IP(src=source[0], dst=target[0])
            / segment
        )
        return whole / Raw(data) if data else whole


def segments(data: bytes, *cuts: int) -> list[tuple[int, bytes]]:
    """Return `data` cut at these offsets."""
    borders = [0, *cuts, len(data)]
    return [(start, data[start:end]) for start, end in pairwise(borders) if start < end]


def pieces(data: bytes, size: int) -> list[tuple[int, bytes]]:
    """Return `data` in segments of `size` bytes."""
    return segments(data, *range(size, len(data), size))


def capture(streams: Sequence[Stream], *, snap: int = 65_535) -> bytes:
    """Return a pcap file of `streams` in sequence, with the first `snap` bytes of each packet."""
    file = io.BytesIO()
    writer = PcapWriter(file, linktype=1)
    writer.write_header(None)
    stamp_s = EPOCH_S
    for stream in streams:
        for packet in stream.packets():
            stamp_s += 0.001
            data = bytes(packet)
            writer.write_packet(data[:snap], sec=int(stamp_s), usec=int(stamp_s % 1 * 1e6), wirelen=len(data))
    writer.flush()
    return file.getvalue()
