"""The forwarder, put together: streams from the workers in, batches to the hub or the disk out, reports to the supervisor."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from cancorderd.forwarder.accounts import BusAccount, SentAccount
from cancorderd.forwarder.batch_maker import QUIET_S, BatchMaker
from cancorderd.forwarder.byte_rate import ByteRate
from cancorderd.forwarder.disk_spool import DiskSpool, SpoolUnavailable
from cancorderd.forwarder.earlier import EarlierStarts
from cancorderd.forwarder.feed_streams import FeedStreams
from cancorderd.forwarder.gathering import Gathering
from cancorderd.forwarder.outbox import Outbox
from cancorderd.forwarder.publisher import Publisher
from cancorderd.forwarder.task_end import end_tasks
from cancorderd.hub.headers import MAX_BODY
from cancorderd.ipc.messages import ForwarderReport, NewFeed, Notice

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cancorderd.config.forward_settings import ForwardSettings
    from cancorderd.forwarder.entry import Entry
    from cancorderd.forwarder.feed_cut import Cut
    from cancorderd.forwarder.outbox import Segment
    from cancorderd.hub.headers import BatchHead
    from cancorderd.ipc.messages import GatewayLosses, Message

T = TypeVar("T")

_MB = 1_000_000
_REPORT_EVERY_S = 1.0
_SPILL_EVERY_S = 0.5
_SPILL_BATCHES = 512
"""Batches that are written with one call, so that the disk has few to do and memory is not used twice."""
_LOSING_S = 10.0
"""Time for which a loss is shown."""
_LOCK_EVERY_S, _LOCKED_S = 0.1, 10.0
"""The forwarder of a daemon that was killed leaves the spool within this time."""
_END_STREAMS_S, _END_SENT_S = 2.0, 0.5


class Forwarder:
    """Create it in a running loop; `run` returns when it was asked to end and everything is at the hub or on the disk."""

    def __init__(
        self,
        settings: ForwardSettings,
        gateway: str,
        folder: str,
        send: Callable[[Message], None],
        hold: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`send` sends a message to the supervisor. `folder` is that of the spool. `hold` is `Gathering`'s."""
        self._settings = settings
        self._gateway = gateway
        self._folder = folder
        self._send = send
        self._spool = secrets.token_hex(8)
        self._maker = BatchMaker(self._spool, compress=settings.compress == "auto")
        self._earlier = EarlierStarts(self._spool)
        self._thread = ThreadPoolExecutor(1, "disk")
        self._disk = DiskSpool(folder, settings.spool_mb * _MB)
        self._outbox = Outbox(settings.keep_acked_mb * _MB, settings.spool_mb * _MB, self._on_dropped)
        self._sent = SentAccount()
        self._publisher: Publisher | None = None
        self._accounts: dict[str, BusAccount] = {}
        self._gathering = Gathering(settings.flush_ms / 1000, self._send_batches, hold)
        self._streams: dict[str, FeedStreams] = {}
        self._ended: list[int] = []
        self._waits = "starting"
        """Reason why the spool is not open yet."""
        self._folder_taken = False
        """Whether another forwarder uses the folder, and somebody has to end it."""
        self._opened = False
        """Whether the spool is ours; only then batches can be made, in the order of those on the disk."""
        self._early: list[tuple[NewFeed, socket.socket]] = []
        """Streams that arrived before."""
        self._last_loss_s = -_LOSING_S
        self._loss_reason = self._disk_reason = ""
        self._rate = ByteRate()
        self._end = asyncio.Event()
        self._orphaned = False

    def request_end(self, *, orphaned: bool = False) -> None:
        """Let `run` return; `orphaned` if the supervisor is gone."""
        self._orphaned = self._orphaned or orphaned
        self._end.set()

    def add_feed(self, feed: NewFeed, sock: socket.socket) -> None:
        """Read a further stream of a bus, as soon as the spool is open."""
        if not self._opened:
            self._early.append((feed, sock))
            return
        account = self._account(feed.bus)
        if feed.bus not in self._streams:
            if feed.safe:
                self._earlier.take_safe(feed.bus, feed.safe)
                account.begin_after(feed.safe)
            else:
                account.begin(self._spool)
                self._report_now()  # the next forwarder asks the hub for what this one has stored
            self._streams[feed.bus] = FeedStreams(
                self._gathering, lambda cut: self._on_cut(account, cut), self._ended.append
            )
        self._streams[feed.bus].add(feed.number, sock)

    def take_losses(self, losses: GatewayLosses) -> None:
        self._account(losses.bus).take_losses(losses.kernel, losses.adapter, losses.unknown, losses.fed)

    async def run(self) -> None:
        # The disk may be slow: reports show that this process lives.
        tasks = [asyncio.create_task(self._report(), name="report")]
        end = asyncio.create_task(self._end.wait())
        try:
            if not await self._lock_spool():
                return
            self._maker.order = await self._in_thread(self._disk.begin)
            self._opened = True
            while self._early:
                self.add_feed(*self._early.pop(0))
            tasks.append(asyncio.create_task(self._publish(), name="publish"))
            tasks.append(asyncio.create_task(self._spill(), name="spill"))
            ends: set[asyncio.Future[Any]] = {*tasks, end, self._gathering.failed}
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for each in done - {end}:
                each.result()
            await self._finish()
        finally:
            self._gathering.close()
            await end_tasks([*tasks, end])
            await self._write_all()
        self._report_now()
        self._thread.shutdown()

    async def _lock_spool(self) -> bool:
        """Wait until no other forwarder uses the folder; returns False if this one has to end first."""
        waits_since_s = time.monotonic()
        while not await self._in_thread(self._disk.lock):
            if self._end.is_set():
                return False
            if not self._folder_taken and time.monotonic() - waits_since_s > _LOCKED_S:
                self._folder_taken = True
                self._waits = f"another forwarder uses {self._folder}. End its daemon, or set daemon.state_dir to another folder."
                self.notice("error", self._waits)
            await asyncio.sleep(_LOCK_EVERY_S)
        self._folder_taken, self._waits = False, "looking for frames of earlier starts on the disk"
        return True

    async def _publish(self) -> None:
        """Find what earlier starts have left on the disk, which goes first, and send everything for ever."""
        # One after another: what stays unacknowledged is written meanwhile.
        found = [await self._in_thread(self._disk.scan, name) for name in self._disk.left]
        segments = [segment for segment in found if segment]
        spools = await self._in_thread(self._disk.spool_ids, self._spool)
        self._outbox.segments[:0], self._earlier.spools = segments, spools
        for sentence in self._disk.unreadable:
            self.notice("error", sentence)
        for folder, size in await self._in_thread(self._disk.left_behind):
            self.notice(
                "warning",
                f"{folder}: {size / _MB:.1f} MB of frames wait for a gateway of this name. Set forward.gateway to it until they "
                "are sent, or delete the folder.",
            )
        left = sum((Counter(segment.unloaded) for segment in segments), Counter[str]())
        for bus, count in left.items():
            self._account(bus).take_left(count, self._disk.since[bus])
        for (spool, bus), stored in self._disk.stored.items():
            self._earlier.take_stored(spool, bus, stored.end)
        self._sent.begin(spools, self._disk.stored)
        self._publisher = Publisher(self._settings.access, self._gateway, spools, self._outbox, self)
        if left:
            self.notice("info", f"{left.total()} frames of earlier starts are on the disk and go first")
        await self._publisher.run()

    async def _finish(self) -> None:
        """Read what the workers have sent, and give the hub a moment.

        If the supervisor is gone, the workers are ending: their streams are read to their ends. Otherwise another
        forwarder may read on.
        """
        await self._until(lambda: not self._orphaned or not self._reading, _END_STREAMS_S)
        deadline_s = time.monotonic() + _END_STREAMS_S
        for bus, streams in self._streams.items():
            while streams.read() and time.monotonic() < deadline_s:
                pass
            streams.close()
            # A successor would count these frames, but it does not know that they were unclear here.
            self._earlier.settle()
            self._account_for_earlier(bus)
        self._report_losses(quiet_s=0.0)
        await self._until(lambda: not any(each.waiting for each in self._accounts.values()), _END_SENT_S)

    @property
    def _reading(self) -> bool:
        return any(streams.open for streams in self._streams.values())

    async def _until(self, condition: Callable[[], bool], within_s: float) -> None:
        deadline_s = time.monotonic() + within_s
        while not condition() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - a moment, at the end
            await asyncio.sleep(0.02)

    async def _write_all(self) -> None:
        """Write everything that is not acknowledged."""
        await self._in_thread(int)  # `_spill` may have been cancelled in a write, which goes on
        while entries := self._outbox.to_spill(float("inf"), [])[:_SPILL_BATCHES]:
            if not await self._write(entries):
                break
        await self._in_thread(self._disk.close)

    # What arrives

    def _on_cut(self, account: BusAccount, cut: Cut) -> None:
        """Make a batch of the packets of a bus."""
        cutter = self._streams[account.name].cutter
        if cutter.lost > account.feed:
            account.feed = cutter.lost
            self._note_loss(
                f"the forwarder did not take all frames of {account.name} in time. Give this machine less to do."
            )
        self._add(self._maker.batch(account, cut, cutter.position or 0, time.time(), time.monotonic()))
        self._account_for_earlier(account.name)

    def _add(self, entry: Entry) -> None:
        self._rate.add(entry.size)
        self._outbox.add(entry)

    def _send_batches(self) -> None:
        if self._publisher:
            self._publisher.send()
        self._gathering.patient = self._publisher is None or self._publisher.behind

    def _report_losses(self, quiet_s: float = QUIET_S) -> None:
        """Make a batch without frames for each bus that has been silent for so long after it lost frames."""
        for bus, streams in self._streams.items():
            account = self._account(bus)
            streams.place(account.fed)
            self._account_for_earlier(bus)
            now, now_s, position = time.time(), time.monotonic(), streams.cutter.position or 0
            entry = self._maker.empty_batch(account, position, now, now_s, quiet_s=quiet_s)
            if entry is not None:
                self._add(entry)
        self._send_batches()

    # What the publisher asks

    def head(self, entry: Entry, epoch: int) -> BatchHead:
        return entry.head_now(self._sent.spool_lost(entry), epoch)

    def last_number(self) -> int:
        return self._maker.number

    def limit_bodies(self, size: int) -> None:
        self._gathering.most_bytes = min(MAX_BODY, size)

    def on_acknowledged(self, entry: Entry) -> None:
        self._sent.acknowledged(entry)
        if not entry.acknowledged:
            entry.acknowledged = True
            account = self._account(entry.bus)
            account.waiting = max(0, account.waiting - entry.head.frames)
            account.forwarded += entry.head.frames
            account.last_acknowledged = entry.created
        self._note_safe(entry)
        if finished := self._outbox.finished():
            self._thread.submit(self._disk.remove, finished)

    async def load(self, segment: Segment) -> None:
        entries, end = await self._in_thread(self._disk.load, segment, segment.size)
        self._outbox.loaded(segment, entries, end)
        if finished := self._outbox.finished():
            self._thread.submit(self._disk.remove, finished)

    def on_resume(self) -> None:
        self._sent.resume()

    def look_ups(self) -> list[str]:
        return [] if self._earlier.looked_up else list(self._accounts)

    def on_last_message(self, bus: str, head: BatchHead | None) -> None:
        if self._earlier.take_last_message(bus, head) and head is not None:
            self._sent.known(bus, head)
        self._account_for_earlier(bus)

    def on_state(self) -> None:
        self._report_now()

    def notice(self, level: str, text: str) -> None:
        self._send(Notice(level, text))

    # Losses

    def _on_dropped(self, bus: str, frames: int) -> None:
        if not frames:  # a batch that only reported losses
            return
        account = self._account(bus)
        account.waiting = max(0, account.waiting - frames)
        account.spool += frames
        self._note_loss(
            self._disk_reason or "the spool is full: the oldest frames are dropped. Raise forward.spool_mb."
        )

    def _note_loss(self, reason: str) -> None:
        now_s = time.monotonic()
        if now_s - self._last_loss_s > _LOSING_S:
            self.notice("warning", f"forwarding loses frames: {reason}")
        self._last_loss_s, self._loss_reason = now_s, reason

    def _note_safe(self, entry: Entry) -> None:
        """A batch of this start is at the hub or on the disk."""
        if entry.head.batch.spool == self._spool and entry.position and not self._earlier.unclear(entry.bus):
            self._account(entry.bus).take_stored(entry)

    def _account_for_earlier(self, bus: str) -> None:
        """Count the frames that an earlier forwarder took along, once it is known what it stored."""
        streams = self._streams.get(bus)
        if streams and (lost := self._earlier.lost(bus, streams.cutter.begin)):
            self._account(bus).own_unknown += lost
            self.notice("warning", f"{bus}: {lost} frames lost with an earlier forwarder")

    # Disk

    async def _spill(self) -> None:
        """Write what stays unacknowledged, again and again."""
        while True:
            await asyncio.sleep(_SPILL_EVERY_S)
            before_s = time.monotonic() - max(0.0, self._settings.ram_s - _SPILL_EVERY_S)
            in_flight = self._publisher.in_flight if self._publisher else []
            while entries := self._outbox.to_spill(before_s, in_flight)[:_SPILL_BATCHES]:
                if not await self._write(entries):
                    break
            if surplus := self._outbox.surplus():
                await self._in_thread(self._disk.remove, surplus)

    async def _write(self, entries: list[Entry]) -> bool:
        """Write batches; returns whether it was possible."""
        self._outbox.writing = entries[-1].order
        try:
            segment, size = await self._in_thread(self._disk.append, entries)
        except SpoolUnavailable as error:
            self._outbox.writing = 0
            if str(error) != self._disk_reason:
                self.notice("warning", str(error))
            self._disk_reason = str(error)
            return False
        if self._disk_reason:
            self.notice("info", "the spool can be written again")
        self._disk_reason = ""
        self._outbox.spilled(entries, segment, size)
        for entry in entries:
            self._note_safe(entry)
        return True

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    # Reports

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            self._report_losses()
            self._report_now()

    def _report_now(self) -> None:
        now, now_s, publisher = time.time(), time.monotonic(), self._publisher
        self._rate.measure(now_s)
        losing = now_s - self._last_loss_s < _LOSING_S
        reasons = [self._loss_reason if losing else "", publisher.reason if publisher else self._waits]
        if self._disk_reason and not losing and not (publisher and publisher.connected):
            reasons.append(self._disk_reason)
        limit, used = self._settings.spool_mb * _MB, self._outbox.waiting_bytes
        retained = self._outbox.kept.since
        ended, self._ended[:] = list(self._ended), []
        self._send(
            ForwarderReport(
                connected=bool(publisher and publisher.connected),
                reason=" ".join(reason for reason in reasons if reason),
                url=publisher.url if publisher else self._settings.url[0],
                refused=self._folder_taken or bool(publisher and publisher.refused),
                losing=losing,
                spool_bytes=used,
                spool_limit_bytes=limit,
                spool_lasts_s=self._rate.lasts_s(limit - used),
                retained_s=round(max(0.0, now - retained), 1) if retained else 0.0,
                epoch=publisher.epoch if publisher else 0,
                buses=[account.report(now) for account in self._accounts.values()],
                ended=ended,
            )
        )

    def _account(self, bus: str) -> BusAccount:
        if bus not in self._accounts:
            self._accounts[bus] = BusAccount(bus)
        return self._accounts[bus]
