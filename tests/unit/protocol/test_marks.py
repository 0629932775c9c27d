"""Marks between packets: they look like packets, have flags that no frame has, and no client gets them."""

from __future__ import annotations

from cancorderd.protocol.audience_mark import AUDIENCE, MarkedDecoder, audience_mark
from cancorderd.protocol.feed_mark import FEED, MARK, feed_mark
from cancorderd.protocol.frame import BRS, ERROR, ESI, EXTENDED, FD, REMOTE, Frame
from cancorderd.protocol.packets import HEADER, encode

FRAME = Frame(1000, 0x123, 0, b"\1\2")


def test_marks_have_flags_that_no_frame_has() -> None:
    assert (FEED, AUDIENCE) == (0x10, 0x20)
    of_frames = EXTENDED | FD | BRS | ESI | REMOTE | ERROR
    assert not (FEED | AUDIENCE) & of_frames


def test_marks_begin_like_packets() -> None:
    assert HEADER.unpack_from(feed_mark(1 << 40, 32, 2)) == (1 << 40, 32, FEED, 0)
    assert MARK.unpack(feed_mark(1 << 40, 32, 2)) == (1 << 40, 32, FEED, 0, 2)
    assert HEADER.unpack(audience_mark(7)) == (0, 7, AUDIENCE, 0)


def test_the_number_of_clients_counts_from_its_mark_on() -> None:
    decoder = MarkedDecoder()
    found = []
    for data in (encode(FRAME), audience_mark(3) + encode(FRAME), audience_mark(0), encode(FRAME) * 2):
        decoder.receive(data)
        found += [(frame, decoder.clients) for frame in decoder.frames()]
    assert found == [(FRAME, None), (FRAME, 3), (FRAME, 0), (FRAME, 0)]
