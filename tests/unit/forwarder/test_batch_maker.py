"""Batches: their numbers, their losses, and the empty ones of buses that fall silent after a loss."""

from __future__ import annotations

from cancorderd.forwarder.accounts import BusAccount
from cancorderd.forwarder.batch_maker import BatchMaker
from cancorderd.forwarder.feed_cut import Cut
from cancorderd.hub.headers import BatchId, Losses
from tests.unit.forwarder.batches import SPOOL

NOW = 1_700_000_000.0


def cut(frames: int = 10, body: bytes = b"packets", first_us: int = 1000) -> Cut:
    return Cut(len(body), body, frames, first_us, first_us + frames)


def made(account: BusAccount, *, compress: bool = True) -> BatchMaker:
    """Return a maker that has made one batch of ten frames at 100 s."""
    maker = BatchMaker(SPOOL, compress=compress)
    maker.batch(account, cut(), 10, NOW, 100.0)
    return maker


def test_batches_count_frames_before_them_and_losses_so_far() -> None:
    account = BusAccount("a")
    account.take_losses(0, 0, 0)
    maker = made(account)
    account.take_losses(3, 0, 0)
    head = maker.batch(account, cut(5), 15, NOW + 1, 101.0).head
    assert head.batch == BatchId(SPOOL, 2)
    assert (head.frames, head.before, head.lost) == (5, 10, Losses(kernel=3))
    assert (account.batched, account.waiting, account.oldest_waiting, maker.order) == (15, 15, NOW, 2)


def test_order_goes_on_behind_what_is_on_the_disk() -> None:
    maker = BatchMaker(SPOOL, compress=True)
    maker.order = 100
    entry = maker.batch(BusAccount("a"), cut(), 10, NOW, 100.0)
    assert (entry.order, entry.head.batch.number, entry.position, entry.made_s) == (101, 1, 10, 100.0)


def test_bodies_are_compressed_if_that_makes_them_smaller() -> None:
    def body(content: bytes, *, compress: bool = True) -> tuple[int, bool]:
        maker = BatchMaker(SPOOL, compress=compress)
        entry = maker.batch(BusAccount("a"), cut(body=content), 10, NOW, 100.0)
        return len(entry.body), entry.head.compressed

    assert body(bytes(256)) == (256, False)
    assert body(bytes(257))[1]
    assert body(bytes(257), compress=False) == (257, False)


def test_silent_bus_that_lost_frames_gets_one_batch_without_frames() -> None:
    account = BusAccount("a")
    account.take_losses(0, 0, 0)
    maker = made(account)
    assert maker.empty_batch(account, 10, NOW, 200.0) is None, "nothing is lost"
    account.take_losses(0, 7, 0)
    assert maker.empty_batch(account, 10, NOW, 104.9) is None, "frames may follow"
    entry = maker.empty_batch(account, 10, NOW, 105.0)
    assert entry is not None
    assert (entry.head.frames, entry.head.before, entry.body) == (0, 10, b"")
    assert (entry.head.first_us, entry.head.last_us, entry.head.lost) == (1010, 1010, Losses(adapter=7))
    assert (account.batched, account.waiting) == (10, 10)
    assert maker.empty_batch(account, 10, NOW, 200.0) is None, "it is told"


def test_bus_that_never_had_a_frame_has_the_present_time() -> None:
    account = BusAccount("a")
    account.own_unknown = 1
    entry = BatchMaker(SPOOL, compress=True).empty_batch(account, 0, NOW, 100.0)
    assert entry is not None
    assert entry.head.last_us == int(NOW * 1e6)
