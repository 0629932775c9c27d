"""The forwarder, put together: streams from the workers in, batches to the hub or the disk out, reports to the supervisor."""

from __future__ import annotations

import asyncio
import secrets
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from cancorderd.forwarder.accounts import BusAccount, SentAccount
from cancorderd.forwarder.disk_spool import DiskSpool, SpoolUnavailable
from cancorderd.forwarder.entry import Entry
from cancorderd.forwarder.feed_streams import FeedStreams
from cancorderd.forwarder.outbox import Outbox
from cancorderd.forwarder.publisher import Publisher
from cancorderd.hub.headers import BatchHead, BatchId
from cancorderd.ipc.messages import ForwarderReport, NewFeed, Notice, SafePosition

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cancorderd.config.forward_settings import ForwardSettings
    from cancorderd.forwarder.feed_cut import Cut
    from cancorderd.forwarder.outbox import Segment
    from cancorderd.ipc.messages import GatewayLosses, Message

T = TypeVar("T")

_MB = 1_000_000
_REPORT_EVERY_S = 1.0
_SPILL_EVERY_S = 0.5
_SPILL_BATCHES = 512
"""Batches that are written with one call, so that the disk has few to do and memory is not used twice."""
_COMPRESS_ABOVE = 256
_LEVEL = 1
"""Higher levels of zlib cost more and save little of packets."""
_LOSING_S = 10.0
"""A loss is shown for so long."""
_END_STREAMS_S = 2.0
_END_SENT_S = 0.5


class Forwarder:
    """Create it in a running loop; `run` returns when it was asked to end and everything is at the hub or on the disk."""

    def __init__(
        self,
        settings: ForwardSettings,
        gateway: str,
        folder: str,
        send: Callable[[Message], None],
    ) -> None:
        """`send` sends a message to the supervisor. `folder` is that of the spool."""
        self._settings = settings
        self._gateway = gateway
        self._folder = folder
        self._send = send
        self._spool = secrets.token_hex(8)
        self._thread = ThreadPoolExecutor(1, "disk")
        self._disk = DiskSpool(folder, settings.spool_mb * _MB)
        self._outbox = Outbox(settings.keep_acked_mb * _MB, settings.spool_mb * _MB, self._on_dropped)
        self._sent = SentAccount()
        self._publisher: Publisher | None = None
        self._accounts: dict[str, BusAccount] = {}
        self._streams: dict[str, FeedStreams] = {}
        self._ended: list[int] = []
        self._safe: dict[str, SafePosition] = {}
        """Positions of an earlier forwarder whose end is not accounted for yet."""
        self._stored: dict[tuple[str, str], int] = {}
        """Frames of earlier spool ids, by id and bus, that are known to be at the hub or on the disk."""
        self._looked_up = False
        self._order = 0
        self._number = 0
        self._disk_reason = ""
        self._last_loss_s = -_LOSING_S
        self._loss_reason = ""
        self._bytes_per_s = 0.0
        self._bytes_since_report = 0
        self._reported_s = 0.0
        self._end = asyncio.Event()
        self._orphaned = False

    def request_end(self, *, orphaned: bool = False) -> None:
        """Let `run` return; `orphaned` if the supervisor is gone."""
        self._orphaned = self._orphaned or orphaned
        self._end.set()

    def add_feed(self, feed: NewFeed, sock: socket.socket) -> None:
        """Read a further stream of a bus."""
        account = self._account(feed.bus)
        self._sent.begin_spool(self._spool, feed.bus)
        if feed.bus not in self._streams:
            if feed.safe:
                self._safe[feed.bus] = feed.safe
            self._streams[feed.bus] = FeedStreams(
                self._settings.flush_ms / 1000, lambda cut: self._on_cut(account, cut), self._ended.append
            )
        self._streams[feed.bus].add(feed.number, sock)

    def take_losses(self, losses: GatewayLosses) -> None:
        self._account(losses.bus).take_losses(losses.kernel, losses.adapter, losses.unknown)

    async def run(self) -> None:
        await self._open_spool()
        assert self._publisher  # noqa: S101 - made there
        tasks = [
            asyncio.create_task(task, name=name)
            for name, task in (
                ("publish", self._publisher.run()),
                ("spill", self._spill()),
                ("report", self._report()),
            )
        ]
        end = asyncio.create_task(self._end.wait())
        try:
            done, _ = await asyncio.wait({*tasks, end}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {end}:
                task.result()
            await self._finish()
        finally:
            for task in (*tasks, end):
                task.cancel()
            await asyncio.gather(*tasks, end, return_exceptions=True)
            await self._write_all()
        self._report_now()
        self._thread.shutdown()

    async def _open_spool(self) -> None:
        """Find what earlier starts have left on the disk, and begin a spool id."""
        segments, frames, self._order = await self._in_thread(self._disk.open)
        spools = await self._in_thread(self._disk.spool_ids, self._spool)
        self._outbox.segments[:0] = segments
        for bus, count in frames.items():
            self._account(bus).waiting += count
        for key, stored in self._disk.stored.items():
            self._stored[key] = max(self._stored.get(key, 0), stored)
        self._publisher = Publisher(self._settings.access, self._gateway, spools, self._outbox, self)
        if segments:
            text = f"{sum(frames.values())} frames of earlier starts are on the disk and go first"
            self.notice("info", text)

    async def _finish(self) -> None:
        """Read what the workers have sent, and give the hub a moment.

        If the supervisor is gone, the workers are ending: their streams are read to their ends. Otherwise another
        forwarder may read on.
        """
        await self._until(lambda: not self._orphaned or not self._reading, _END_STREAMS_S)
        for streams in self._streams.values():
            streams.read()
            streams.close()
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
        while entries := self._outbox.to_spill(float("inf"), [])[:_SPILL_BATCHES]:
            if not await self._write(entries):
                break
        await self._in_thread(self._disk.close)

    # What arrives

    def _on_cut(self, account: BusAccount, cut: Cut) -> None:
        """Make a batch of the packets of a bus."""
        cutter = self._streams[account.name].cutter
        account.feed = cutter.lost
        body, compressed = self._compressed(cut.body)
        self._order += 1
        self._number += 1
        head = BatchHead(
            BatchId(self._spool, self._number), cut.frames, account.batched, cut.first_us, cut.last_us,
            account.lost, 0, compressed,
        )  # fmt: skip
        now = time.time()
        entry = Entry(self._order, account.name, head, body, now, position=cutter.position or 0)
        entry.made_s = time.monotonic()
        account.batched += cut.frames
        if not account.waiting:
            account.oldest_waiting = now
        account.waiting += cut.frames
        self._bytes_since_report += entry.size
        self._outbox.add(entry)
        if account.name in self._safe:
            self._account_for_earlier(account.name)
        if self._publisher:
            self._publisher.wake()

    def _compressed(self, body: bytes) -> tuple[bytes, bool]:
        if self._settings.compress == "auto" and len(body) > _COMPRESS_ABOVE:
            compressed = zlib.compress(body, _LEVEL)
            if len(compressed) < len(body):
                return compressed, True
        return body, False

    # What the publisher asks

    def head(self, entry: Entry, epoch: int) -> BatchHead:
        lost = entry.head.lost._replace(spool=self._sent.spool_lost(entry))
        return entry.head._replace(lost=lost, epoch=epoch)

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
        return [] if self._looked_up else list(self._accounts)

    def on_last_message(self, bus: str, head: BatchHead | None) -> None:
        self._looked_up = True
        if head is not None and head.batch.spool != self._spool:
            self._sent.known(bus, head)
            key = (head.batch.spool, bus)
            self._stored[key] = max(self._stored.get(key, 0), head.before + head.frames)
        self._account_for_earlier(bus)

    def on_state(self) -> None:
        self._report_now()

    def notice(self, level: str, text: str) -> None:
        self._send(Notice(level, text))

    # Losses

    def _on_dropped(self, bus: str, frames: int) -> None:
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
        if entry.head.batch.spool == self._spool and entry.position:
            account = self._account(entry.bus)
            if account.safe is None or account.safe.position < entry.position:
                stored = entry.head.before + entry.head.frames
                account.safe = SafePosition(self._spool, entry.position, stored)

    def _account_for_earlier(self, bus: str) -> None:
        """Count the frames that an earlier forwarder took along, once it is known what it stored."""
        safe, streams = self._safe.get(bus), self._streams.get(bus)
        if not self._looked_up or safe is None or streams is None or streams.cutter.begin is None:
            return
        del self._safe[bus]
        stored = max(self._stored.get((safe.spool, bus), 0), safe.stored)
        lost = streams.cutter.begin - safe.position - (stored - safe.stored)
        if lost > 0:
            self._account(bus).own_unknown += lost
            self.notice("warning", f"{bus}: {lost} frames lost with a forwarder that crashed")

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
        try:
            segment, size = await self._in_thread(self._disk.append, entries)
        except SpoolUnavailable as error:
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
            self._report_now()

    def _report_now(self) -> None:
        now, now_s, publisher = time.time(), time.monotonic(), self._publisher
        self._measure(now_s)
        losing = now_s - self._last_loss_s < _LOSING_S
        reasons = [self._loss_reason if losing else "", publisher.reason if publisher else "starting"]
        if self._disk_reason and not losing and not (publisher and publisher.connected):
            reasons.append(self._disk_reason)
        limit = self._settings.spool_mb * _MB
        used = self._outbox.waiting_bytes
        retained = self._outbox.retained_since
        ended, self._ended[:] = list(self._ended), []
        self._send(
            ForwarderReport(
                connected=bool(publisher and publisher.connected),
                reason=" ".join(reason for reason in reasons if reason),
                url=publisher.url if publisher else self._settings.url[0],
                refused=bool(publisher and publisher.refused),
                losing=losing,
                spool_bytes=used,
                spool_limit_bytes=limit,
                spool_lasts_s=max(0.0, round((limit - used) / self._bytes_per_s, 1))
                if self._bytes_per_s
                else None,
                retained_s=round(max(0.0, now - retained), 1) if retained else 0.0,
                epoch=publisher.epoch if publisher else 0,
                buses=[account.report(now) for account in self._accounts.values()],
                ended=ended,
            )
        )

    def _measure(self, now_s: float) -> None:
        """Average the rate of bytes over some ten seconds."""
        passed_s = now_s - self._reported_s
        if passed_s < _REPORT_EVERY_S / 2:
            return
        rate = self._bytes_since_report / passed_s
        known = self._bytes_per_s > 0
        self._bytes_per_s = 0.9 * self._bytes_per_s + 0.1 * rate if known else rate
        self._bytes_since_report, self._reported_s = 0, now_s

    def _account(self, bus: str) -> BusAccount:
        if bus not in self._accounts:
            self._accounts[bus] = BusAccount(bus)
        return self._accounts[bus]
