"""Source of a bus that another gateway forwards to a hub."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.adapters.base import BaseSource
from cancorderd.adapters.failures import BusError, SettingsRefused
from cancorderd.adapters.filters import acceptance
from cancorderd.adapters.nats import position
from cancorderd.adapters.nats.account import Account
from cancorderd.adapters.nats.bodies import BodyDecoder, BodyError
from cancorderd.adapters.nats.moments import span_of
from cancorderd.hub.failures import LibraryMissing
from cancorderd.hub.headers import MAX_BODY
from cancorderd.printable import error_text
from cancorderd.protocol.batch import EMPTY_BATCH, joined

if TYPE_CHECKING:
    from cancorderd.adapters.nats.reader import Item
    from cancorderd.adapters.nats.settings import NatsSettings
    from cancorderd.protocol.batch import Batch

_MOST_AT_ONCE = 256 << 10
"""Bytes of packets per read, so that the loop has time for its clients."""
_FAR_BEHIND = 64
"""Messages at the hub beyond which this is the past, which waits for the clients."""


class NatsSource(BaseSource):
    """Frames of a bus at a hub."""

    def __init__(self, settings: NatsSettings) -> None:
        super().__init__()
        self._settings = settings
        try:
            from cancorderd.adapters.nats.reader_thread import ReaderThread  # noqa: PLC0415 - needs nats-py
        except LibraryMissing as error:
            raise SettingsRefused(str(error)) from error
        wanted = span_of(settings.from_, settings.to)
        self._identity = f"{settings.gateway}/{settings.bus} {settings.from_} {settings.to}"
        last = position.from_text(settings.resume, self._identity)
        self._live = wanted.live
        """Whether the past has been read."""
        self._ends = wanted.ends
        self._to_us = wanted.span.to_us
        self._over = False
        self._account = Account(last.head if last else None)
        self._decoder = BodyDecoder(acceptance(settings.filters), wanted.span)
        self._from_us = wanted.span.from_us
        self._begun = wanted.live or last is not None
        self._place = f"{settings.gateway}/{settings.bus}"
        self._unreadable = 0
        """Frames that messages announce and do not hold."""
        self._taken: Item | None = None
        self._thread = ReaderThread(settings.access, settings.gateway, settings.bus, wanted, last)
        self.waiting = self._thread.reason
        self.setting_up = True
        self.paced = not self._live
        self.resumable = True
        if settings.recorded:
            self._begin()

    def fileno(self) -> int:
        return self._thread.fileno()

    def due(self, now_s: float) -> float | None:  # noqa: ARG002
        if not self._thread.held or self._over:
            return None
        return 0.0 if self._may_deliver() else None

    def audience(self, clients: int, now_s: float) -> None:  # noqa: ARG002
        if clients:
            self._begin()

    def read(self, now_s: float) -> Batch:  # noqa: ARG002
        self._thread.hush()
        self._take_state()
        batches: list[Batch] = []
        size = 0
        while size < _MOST_AT_ONCE and not self._over and self._may_deliver(size):
            item = self._thread.next_item()
            if item is None:
                break
            batch = self._delivered(item)
            if batch.frames:
                batches.append(batch)
                size += len(batch.packets)
        self._live = self._live or (self._begun and not self._behind and not self._thread.held)
        self.paced = not self._live or self._behind
        self._word_details()
        return joined(batches) if batches else EMPTY_BATCH

    def stop(self) -> None:
        """Deliver nothing more: the next worker goes on behind the last message that was delivered."""
        self._over = True

    def close(self) -> None:
        self._thread.close()

    def position(self) -> str:
        item = self._taken
        if item is None:
            return self._settings.resume
        return position.to_text(position.Position(item.created, item.sequence, item.head), self._identity)

    @property
    def _behind(self) -> bool:
        return self._thread.pending > _FAR_BEHIND or self._thread.held > _MOST_AT_ONCE

    def _may_deliver(self, size: int = 0) -> bool:
        """Whether the clients have room for another message, `size` bytes after those that they have."""
        if not self.paced:
            return True
        return self.room - size >= min(MAX_BODY, self._settings.client_backlog // 2)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._thread.begin()

    def _take_state(self) -> None:
        """Take over what the thread has found out about the hub."""
        if self._thread.error is not None:
            raise BusError(f"reading from the hub failed: {error_text(self._thread.error)}. Report this.")
        self.waiting = self._thread.reason
        self.setting_up = self._thread.trying
        while self._thread.notices:
            self.notices.append(self._thread.notices.popleft())

    def _delivered(self, item: Item) -> Batch:
        """Return the frames of a message that are new and wanted."""
        if self._account.last is None and item.head.last_us < self._from_us:
            return EMPTY_BATCH
        if self._ends and item.head.first_us > self._to_us:
            self._over = True
            return EMPTY_BATCH
        before = self._account.lost
        if not self._account.take(item.head):
            return EMPTY_BATCH
        self._taken = item
        if self._account.lost != before:
            self._count_lost()
        try:
            return self._decoder.decode(item.body, item.head)
        except BodyError as error:
            self.notices.append(("warning", f"{self._place}: batch {item.head.batch}: {error}. Left out."))
            return EMPTY_BATCH
        finally:
            self.error_frames = self._decoder.malformed
            if self._decoder.missing != self._unreadable:
                self._unreadable = self._decoder.missing
                self._count_lost()

    def _count_lost(self) -> None:
        lost = self._account.lost
        self.lost_kernel = lost.by_header.kernel
        self.lost_adapter = lost.total - lost.by_header.kernel + self._unreadable
        self.details["lost"] = lost.text(self._unreadable)

    def _word_details(self) -> None:
        if not self._thread.server:
            text = "not connected yet"
        elif not self._begun:
            text = "waits for the first client"
        elif self._over:
            text = 'everything up to "to" is delivered'
        elif self._from_us > time.time_ns() // 1000:
            text = 'waits for "from", which is in the future'
        elif self._behind:
            text = f"{self._thread.pending} messages behind"
        else:
            text = "live"
        self.details["position"] = text
        self.details["server"] = self._thread.server
        if self._account.repeated:
            self.details["repeated"] = f"{self._account.repeated} messages, left out"
