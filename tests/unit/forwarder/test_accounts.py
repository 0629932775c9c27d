"""Losses by place, as the headers and the status report them."""

from __future__ import annotations

from cancorderd.forwarder.accounts import BusAccount, SentAccount
from cancorderd.forwarder.entry import Stored
from cancorderd.hub.headers import Losses
from cancorderd.ipc.messages import ForwardedBusReport, SafePosition
from tests.unit.forwarder.batches import EARLIER, SPOOL, batch


def test_losses_before_the_spool_id_was_made_do_not_count() -> None:
    account = BusAccount("a")
    account.take_losses(5, 6, 7)
    account.take_losses(8, 6, 9)
    account.feed, account.own_unknown, account.spool = 1, 2, 3
    assert account.lost == Losses(kernel=3, adapter=0, unknown=4, feed=1, spool=3)


def test_lag_is_the_time_since_the_last_acknowledged_batch_was_made() -> None:
    account = BusAccount("a")
    assert account.lag_s(100.0) == 0
    account.waiting, account.oldest_waiting = 10, 90.0
    assert account.lag_s(100.0) == 10.0
    account.last_acknowledged = 97.0
    assert account.lag_s(100.0) == 3.0
    account.waiting = 0
    assert account.lag_s(100.0) == 0


def test_account_begins_with_nothing() -> None:
    account = BusAccount("a")
    assert account.report(100.0) == ForwardedBusReport("a", 0, 0.0, 0, 0, 0, 0, 0, 0, None)
    assert (account.batched, account.batched_s, account.last_us, account.told) == (0, 0.0, 0, Losses())
    assert account.lost == Losses()


def test_batches_are_counted_and_lag_begins_with_the_oldest_that_waits() -> None:
    account = BusAccount("a")
    account.take_batch(batch(1, frames=10))
    account.take_batch(batch(3, frames=5))
    assert (account.batched, account.waiting) == (15, 15)
    assert (account.batched_s, account.last_us, account.told) == (3.0, 2003, Losses(kernel=1))
    assert account.lag_s(1_700_000_011.0) == 10.0
    account.waiting = 0
    account.take_batch(batch(9))
    assert account.lag_s(1_700_000_011.0) == 2.0
    assert account.lag_s(1_700_000_000.0) == 0.0, "the clock was set back"


def test_lag_begins_with_the_oldest_that_earlier_starts_have_left() -> None:
    account = BusAccount("a")
    account.take_left(7, 1_700_000_000.0)
    account.take_batch(batch(9, frames=5))
    assert account.waiting == 12
    assert account.lag_s(1_700_000_011.0) == 11.0


def test_report_has_every_place_of_loss() -> None:
    account = BusAccount("a")
    account.take_losses(0, 0, 0)
    account.take_losses(1, 2, 3)
    account.own_unknown, account.feed, account.spool = 10, 4, 5
    account.waiting, account.forwarded, account.oldest_waiting = 7, 8, 90.0
    assert account.report(92.26) == ForwardedBusReport("a", 7, 2.3, 8, 1, 2, 13, 4, 5, None)


def test_losses_that_earlier_forwarders_did_not_report_count() -> None:
    account = BusAccount("a")
    account.take_losses(8, 8, 8)
    account.begin_after(SafePosition(EARLIER, 100, 100, 5, 6, 7))
    assert account.lost == Losses(kernel=3, adapter=2, unknown=1)


def test_stored_batches_tell_the_next_forwarder_which_losses_they_reported() -> None:
    account = BusAccount("a")
    account.begin_after(SafePosition(EARLIER, 100, 100, 5, 6, 7))
    account.take_stored(batch(2))
    account.take_stored(batch(1))
    assert account.safe == SafePosition(SPOOL, 20, 20, 6, 6, 7), "in whatever order they are stored"
    silent = batch(3, frames=0)
    silent.position = 20
    silent.head = silent.head._replace(before=20, lost=Losses(kernel=4, unknown=9))
    account.own_unknown = 5
    account.take_stored(silent)
    assert account.safe == SafePosition(SPOOL, 20, 20, 9, 6, 11)


def test_losses_never_count_below_zero() -> None:
    """A daemon that starts anew counts from zero."""
    account = BusAccount("a")
    account.take_losses(5, 6, 7)
    account.take_losses(4, 5, 6)
    assert account.lost == Losses()


def sent(*numbers: int, account: SentAccount | None = None) -> list[int]:
    account = account or SentAccount()
    account.begin([SPOOL], {})
    return [account.spool_lost(batch(number)) for number in numbers]


def test_batches_in_order_lose_nothing() -> None:
    assert sent(1, 2, 3) == [0, 0, 0]


def test_gaps_count_for_the_batch_behind_them() -> None:
    assert sent(2, 3, 6) == [10, 10, 30]


def test_batches_that_are_sent_again_report_what_they_did_before() -> None:
    account = SentAccount()
    account.begin([SPOOL], {})
    first, third, fifth = batch(1), batch(3), batch(5)
    assert [account.spool_lost(entry) for entry in (first, third, fifth)] == [0, 10, 20]
    account.acknowledged(first)
    account.resume()
    assert [account.spool_lost(entry) for entry in (third, fifth, batch(6))] == [10, 20, 20]


def test_batches_that_are_loaded_again_count_from_the_last_acknowledged_one() -> None:
    account = SentAccount()
    account.begin([SPOOL], {})
    first = batch(1)
    account.spool_lost(first)
    account.acknowledged(first)
    account.spool_lost(batch(3))
    account.resume()
    assert account.spool_lost(batch(3)) == 10


def test_batches_whose_acknowledgements_were_lost_are_no_gap() -> None:
    """The hub has stored them, and its last message says so after the reconnect."""
    account = SentAccount()
    account.begin([SPOOL], {})
    entries = [batch(number) for number in (1, 2, 3)]
    assert [account.spool_lost(entry) for entry in entries] == [0, 0, 0]
    account.acknowledged(entries[0])
    account.resume()
    for entry in entries[1:]:
        account.acknowledged(entry)
    assert account.spool_lost(batch(4)) == 0
    assert account.spool_lost(batch(6)) == 10


def test_late_acknowledgement_does_not_hide_what_was_sent() -> None:
    account = SentAccount()
    account.begin([SPOOL], {})
    first, second = batch(1), batch(2)
    account.spool_lost(first)
    account.spool_lost(second)
    account.acknowledged(first)
    assert account.spool_lost(batch(3)) == 0


def test_without_an_acknowledged_batch_everything_counts_anew() -> None:
    account = SentAccount()
    account.begin([SPOOL], {})
    assert account.spool_lost(batch(4)) == 30
    account.resume()
    assert account.spool_lost(batch(2)) == 10


def test_earlier_spool_id_counts_from_the_hubs_last_message() -> None:
    account = SentAccount()
    account.begin([EARLIER, SPOOL], {})
    known = batch(4, spool=EARLIER).head
    account.known("a", known._replace(lost=Losses(spool=30)))
    assert account.spool_lost(batch(5, spool=EARLIER)) == 30
    assert account.spool_lost(batch(7, spool=EARLIER)) == 40


def test_earlier_spool_id_counts_from_its_first_batch_here_if_the_hub_has_nothing_of_the_bus() -> None:
    account = SentAccount()
    account.begin([EARLIER, SPOOL], {})
    assert account.spool_lost(batch(5, spool=EARLIER)) == 0
    assert account.spool_lost(batch(7, spool=EARLIER)) == 10


OLDEST = "0" * 16


def with_earlier(*, known: bool, **stored: tuple[int, int]) -> SentAccount:
    """Return the account of the last of three starts; the hub has 10 batches of the first, unless it has nothing."""
    account = SentAccount()
    names = {"oldest": OLDEST, "earlier": EARLIER}
    account.begin(
        [OLDEST, EARLIER, SPOOL], {(names[name], "a"): Stored(*span) for name, span in stored.items()}
    )
    if known:
        account.known("a", batch(10, spool=OLDEST).head)
    return account


def test_batches_that_an_earlier_start_dropped_are_lost_in_the_spool() -> None:
    """They are not at the hub, which has nothing of this spool id yet."""
    account = with_earlier(known=True, earlier=(50, 100))
    assert account.spool_lost(batch(6, spool=EARLIER)) == 50


def test_spool_id_of_which_nothing_is_left_is_counted_with_the_next_one() -> None:
    account = with_earlier(known=True, oldest=(100, 130), earlier=(0, 200))
    assert account.spool_lost(batch(3)) == 30 + 200 + 20
    assert account.spool_lost(batch(4)) == 30 + 200 + 20, "once"


def test_end_of_a_spool_id_of_which_nothing_is_left_is_counted_with_the_next_one() -> None:
    account = with_earlier(known=True, oldest=(100, 130), earlier=(0, 200))
    assert account.spool_lost(batch(12, spool=OLDEST)) == 10
    assert account.spool_lost(batch(1, spool=EARLIER)) == 10
    assert account.spool_lost(batch(1)) == 190
    account.resume()
    assert account.spool_lost(batch(1)) == 30 + 200


def test_spool_ids_that_a_hub_without_messages_may_have_had_count_from_their_first_batch_here() -> None:
    account = with_earlier(known=False, oldest=(100, 130), earlier=(50, 200))
    assert account.spool_lost(batch(1)) == 30 + 150


def test_batches_that_the_hub_had_already_are_not_lost() -> None:
    account = with_earlier(known=False, earlier=(0, 20))
    for number in (1, 2):
        account.acknowledged(batch(number, spool=EARLIER))
    account.acknowledged(batch(1, spool=EARLIER))
    assert account.spool_lost(batch(1)) == 0
