"""The account of a bus at a hub: each batch once, in order, and the missing frames by place."""

from __future__ import annotations

from cancorderd.adapters.nats.account import Account, LostOnTheWay
from cancorderd.hub.headers import BatchHead, BatchId, Losses

OLD, NEW = "00000000000000a1", "00000000000000b2"


def head(number: int, before: int, frames: int = 10, spool: str = OLD, **lost: int) -> BatchHead:
    return BatchHead(BatchId(spool, number), frames, before, 0, 0, Losses(**lost))


def account_of(*heads: BatchHead) -> tuple[Account, list[int]]:
    """Return the account of these messages, and the numbers of those that are delivered."""
    account = Account()
    return account, [each.batch.number for each in heads if account.take(each)]


def test_consecutive_batches_are_delivered_and_nothing_is_lost() -> None:
    account, delivered = account_of(head(1, 0), head(3, 10), head(4, 20))  # batch 2 is another bus's
    assert delivered == [1, 3, 4]
    assert account.lost == LostOnTheWay()


def test_repeated_batches_are_dropped_and_counted() -> None:
    account, delivered = account_of(head(1, 0), head(2, 10), head(1, 0), head(2, 10), head(3, 20))
    assert delivered == [1, 2, 3]
    assert account.repeated == 2
    assert account.lost.total == 0


def test_losses_of_the_gateway_count_by_place_from_the_first_message_on() -> None:
    account, _ = account_of(
        head(1, 0, kernel=7), head(2, 10, kernel=9, feed=3), head(3, 20, kernel=9, feed=3)
    )
    assert account.lost == LostOnTheWay(Losses(kernel=2, feed=3))
    assert account.lost.text() == "kernel 2, feed 3"


def test_missing_batches_are_lost_in_the_spool_as_far_as_it_says_so_and_at_the_hub_otherwise() -> None:
    account, _ = account_of(head(1, 0), head(5, 40))
    assert account.lost == LostOnTheWay(retention=30)
    lost_in_spool = head(9, 90)._replace(lost=Losses(spool=25))
    assert account.take(lost_in_spool)
    assert account.lost == LostOnTheWay(Losses(spool=25), retention=30 + 15)
    assert account.lost.text() == "spool 25, retention 45"


def test_new_spool_id_begins_its_counts_at_0() -> None:
    account, delivered = account_of(
        head(8, 70), head(1, 0, spool=NEW, unknown=4), head(2, 10, spool=NEW, unknown=4)
    )
    assert delivered == [8, 1, 2]
    assert account.lost == LostOnTheWay(Losses(unknown=4))


def test_first_batches_of_a_new_spool_id_that_are_missing_were_lost_at_the_hub() -> None:
    account, _ = account_of(head(8, 70), head(3, 25, spool=NEW))
    assert account.lost == LostOnTheWay(retention=25)


def test_batches_of_an_earlier_spool_id_are_repeated_after_a_later_one() -> None:
    account, delivered = account_of(head(7, 0), head(1, 0, spool=NEW), head(7, 0), head(8, 10))
    assert delivered == [7, 1, 8]
    assert account.repeated == 1


def test_account_goes_on_where_an_earlier_one_ended() -> None:
    account = Account(head(4, 30, kernel=2))
    assert not account.take(head(4, 30, kernel=2))
    assert account.take(head(5, 45, kernel=3))
    assert account.lost == LostOnTheWay(Losses(kernel=1), retention=5)


def test_memory_of_spool_ids_is_bounded() -> None:
    account = Account()
    for index in range(1000):
        assert account.take(head(1, 0, spool=f"{index:016x}"))
    assert len(account._numbers) == 64


def test_places_in_words() -> None:
    lost = LostOnTheWay(Losses(spool=12), retention=3)
    assert lost.text() == "spool 12, retention 3"
    assert lost.text(unreadable=4) == "spool 12, retention 3, body 4"
    assert LostOnTheWay().text() == ""
