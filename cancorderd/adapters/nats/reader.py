"""Reads the messages of one bus from the hub's stream, in the order of their sequence numbers, and never stops.

Batches of messages come by DIRECT.GET, and a plain subscription wakes the reader: no consumer is ever created at the
hub, since a right to create consumers is a right to write. After each connection the reader compares the last message
that it knows with the stream, which may have been made again or be an older copy. It may read a message twice; the
`account` drops those. Runs on an event loop of its own (`reader_thread`). Times are seconds on the monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cancorderd.adapters.nats.history import History
from cancorderd.hub import headers, subjects
from cancorderd.hub.connection import open_connection
from cancorderd.hub.direct_get import read_batch
from cancorderd.hub.failures import HubError
from cancorderd.hub.jetstream import stream_info
from cancorderd.hub.streams import require_recent
from cancorderd.printable import printable

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from cancorderd.adapters.nats.history import Place
    from cancorderd.adapters.nats.moments import Wanted
    from cancorderd.adapters.nats.position import Position
    from cancorderd.hub.access import HubAccess
    from cancorderd.hub.connection import HubConnection
    from cancorderd.hub.headers import BatchHead, BatchId
    from cancorderd.hub.jetstream import StoredMessage, StreamInfo

QUIET_S = 5.0
"""A reader that was not woken for so long asks for the stream's state."""
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.25, 2.0
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.002, 0.1
"""Intervals at which a message that was announced is looked for: the hub stores it a moment later."""
_LOOK_FOR_S = 0.5
_MESSAGES = 512
_FEWEST_BYTES, _FIRST_BYTES, _MOST_BYTES = 64 << 10, 256 << 10, 2 << 20
"""Limits of one request. A hub closes a connection that does not take its data in time, so a slow link asks for less."""
_BRISK_S, _SLOW_S = 0.2, 1.0
"""Duration of a request below which the next may ask for more, and above which it asks for less."""
_EXPIRY_EVERY_S = 3600.0
"""Interval at which certificates are looked at."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIER = timedelta(minutes=1)
"""The search for a time stamp also begins with messages that arrived so long before it: a gateway's clock may be wrong."""

_MOST_NAMED = 16
"""Buses that are named if the wanted one is none of them."""
_REWIND = 1 << 16
"""Messages."""


class Item(NamedTuple):
    """A message of the bus."""

    created: str
    """When its stream was made."""
    sequence: int
    head: BatchHead
    body: bytes


class Receiver(Protocol):
    """Whoever gets the messages."""

    async def put(self, items: list[Item], pending: int) -> None:
        """Take messages, and wait until there is room for more; `pending` messages of the bus follow at the hub."""

    def at_end(self) -> None:
        """Take note that all messages that the hub holds have been read."""

    def connected(self, server: str) -> None:
        """Take note that messages are being read."""

    def disconnected(self, failure: HubError) -> None:
        """Take note that no messages can be read."""

    def notice(self, level: str, text: str) -> None:
        """Take a sentence for the log."""


class HubReader:
    """Reader of one bus."""

    def __init__(
        self,
        access: HubAccess,
        gateway: str,
        bus: str,
        wanted: Wanted,
        *,
        receiver: Receiver,
        after: Position | None = None,
    ) -> None:
        """`after` is the last message that an earlier reader delivered."""
        self._access = access
        self._stream = subjects.stream_name(gateway)
        self._subject = subjects.subject(gateway, bus)
        self._all_subjects = subjects.all_subjects(gateway)
        self._wanted = wanted
        self._receiver = receiver
        self._history = History()
        self._created = ""
        self._next: int | None = None
        """Sequence number to go on with; None before the beginning is known."""
        self._begin = asyncio.Event()
        self._woken = asyncio.Event()
        self._announced: BatchId | None = None
        """The message that woke this reader last; the stream may not hold it yet."""
        self._last: BatchId | None = None
        """The last message that was read."""
        self._bytes = _FIRST_BYTES
        self._strange: set[str] = set()
        """Headers that were missing or useless in a message; each is reported once."""
        self._told_empty = self._told_late = False
        self._expiry_told: set[str] = set()
        self._tell_expiry_s = 0.0
        self._served = False
        """Whether messages could be read over the present connection."""
        if after is not None:
            self._created = after.created
            self._next = after.sequence + 1
            self._history.add(after.sequence, after.head.batch)
        if after is not None or wanted.live:
            self._begin.set()

    def begin(self) -> None:
        """Read the past from now on."""
        self._begin.set()

    async def run(self) -> None:
        """Read until this task is cancelled."""
        retry_s = _FIRST_RETRY_S
        while True:
            self._served = False
            try:
                await self._serve()
            except HubError as error:
                self._receiver.disconnected(error)
            if self._served:
                retry_s = _FIRST_RETRY_S
            await asyncio.sleep(retry_s)
            retry_s = min(_LONGEST_RETRY_S, 2 * retry_s)

    async def _serve(self) -> None:
        """Read over one connection. Raises HubError when it ends."""
        connection = await open_connection(self._access, f"viewer of {self._subject}")
        try:
            self._tell_expiry_s = 0.0
            self._tell_expiry(connection)
            with connection.in_use():
                await connection.client.subscribe(self._subject, cb=self._on_announcement)
            require_recent(connection)
            info = await stream_info(connection, self._stream)
            await self._try_to_read(connection)
            self._tell_of_late_frames(connection)
            self._receiver.connected(str(connection.server))
            self._served = True
            while not self._begin.is_set():
                if not await _set_within(self._begin, connection, QUIET_S):
                    info = await stream_info(connection, self._stream)
            await self._find_next(connection, info)
            while True:
                self._tell_expiry(connection)
                await self._follow(connection)
                if not await _set_within(self._woken, connection, QUIET_S):
                    await self._check(connection)
        finally:
            if not self._served:
                self._access = self._access.with_last(connection.server)
            await connection.close()

    def _tell_expiry(self, connection: HubConnection) -> None:
        """Report certificates and credentials that expire soon; the sentence changes each day."""
        now_s = time.monotonic()
        if now_s < self._tell_expiry_s:
            return
        self._tell_expiry_s = now_s + _EXPIRY_EVERY_S
        for sentence in connection.notices:
            if sentence not in self._expiry_told:
                self._expiry_told.add(sentence)
                self._receiver.notice("warning", sentence)

    async def _try_to_read(self, connection: HubConnection) -> None:
        """Raise HubError unless messages can be read; report it if there is none of this bus."""
        if await self._at(connection, 1) is not None or self._told_empty:
            return
        self._told_empty = True
        state = (await stream_info(connection, self._stream, subjects=self._all_subjects)).state
        buses = sorted(subject.rpartition(".")[2] for subject in state.subjects)
        held = (
            f"The hub holds {', '.join(map(printable, buses[:_MOST_NAMED]))} of this gateway"
            if buses
            else "Its gateway has sent nothing yet"
        )
        self._receiver.notice("warning", f"{self._subject}: the hub holds no frame of this bus. {held}.")

    def _tell_of_late_frames(self, connection: HubConnection) -> None:
        """Report it if nothing will wake this reader: the refusal of a subscription comes before later answers."""
        refusal = connection.last_refusal
        if refusal is None or refusal.subject.lower() != self._subject.lower() or self._told_late:
            return
        self._told_late = True
        self._receiver.notice("warning", f"{refusal} Until then, frames come up to {QUIET_S:g} s late.")

    async def _on_announcement(self, message: Msg) -> None:
        with contextlib.suppress(headers.HeaderError):
            self._announced = headers.parse_batch_id((message.headers or {}).get(headers.BATCH, ""))
        self._woken.set()

    async def _follow(self, connection: HubConnection) -> None:
        """Read to the end of the stream, and until the message that was announced last is there."""
        look_s, since_s = _FIRST_LOOK_S, time.monotonic()
        while True:
            self._woken.clear()
            if await self._read_to_end(connection):
                look_s, since_s = _FIRST_LOOK_S, time.monotonic()
            self._receiver.at_end()
            announced, last = self._announced, self._last
            if announced is None or (last and headers.is_repeated(announced, last)):
                return
            if time.monotonic() - since_s > _LOOK_FOR_S:  # it was refused, or the stream is another
                self._announced = None
                await self._check(connection)
                return
            await asyncio.sleep(look_s)
            look_s = min(_LONGEST_LOOK_S, 2 * look_s)

    async def _read_to_end(self, connection: HubConnection) -> bool:
        """Read all messages from `_next` on; return whether there was any."""
        found = False
        while True:
            began_s = time.monotonic()
            stored = await read_batch(
                connection,
                self._stream,
                self._subject,
                sequence=self._next,
                batch=_MESSAGES,
                max_bytes=self._bytes,
            )
            self._adapt(time.monotonic() - began_s)
            if stored.messages:
                found = True
                self._next = stored.messages[-1].sequence + 1
                await self._receiver.put(self._items(stored.messages), stored.pending)
            if not (stored.messages and stored.pending):
                return found

    def _items(self, messages: list[StoredMessage]) -> list[Item]:
        items = []
        for message in messages:
            try:
                head = headers.parse(message.headers)
            except headers.HeaderError as error:
                self._notice_once(f"{self._subject}: message {message.sequence} is passed over", str(error))
                continue
            self._last = head.batch
            self._history.add(message.sequence, head.batch)
            items.append(Item(self._created, message.sequence, head, message.body))
        return items

    def _notice_once(self, what: str, reason: str) -> None:
        header = reason.partition(" ")[0]
        if header not in self._strange:
            self._receiver.notice("warning", f"{what}: {reason}.")
        self._strange.add(header)

    def _adapt(self, took_s: float) -> None:
        if took_s < _BRISK_S:
            self._bytes = min(_MOST_BYTES, 2 * self._bytes)
        elif took_s > _SLOW_S:
            self._bytes = max(_FEWEST_BYTES, self._bytes // 2)

    async def _check(self, connection: HubConnection) -> None:
        """Compare the stream's state with what is known. Raises StreamMissing."""
        info = await stream_info(connection, self._stream)
        if info.created != self._created or info.state.last_sequence < (self._next or 0) - 1:
            await self._find_next(connection, info)

    async def _find_next(self, connection: HubConnection, info: StreamInfo) -> None:
        """Decide with which message to go on, in the stream as it is now."""
        state = info.state
        if self._next is None:
            self._created = info.created
            if self._wanted.live:
                self._next = state.last_sequence + 1
            else:
                self._next = await self._first_with(connection, info, self._wanted.span.from_us)
        elif info.created != self._created:
            self._receiver.notice("warning", f"{self._stream} was made again: it is read from its beginning.")
            self._created, self._next, self._history = info.created, 1, History()
        elif places := self._history.places():
            known = await self._last_known(connection, info, places)
            if known == places[-1]:
                return
            self._receiver.notice("warning", f"{self._stream} is an older copy: it is read again from there.")
            # Without any known message, far enough back for all that a hub loses that was killed.
            self._next = known.sequence + 1 if known else max(1, places[0].sequence - _REWIND)
            self._history.forget_after(self._next - 1)
        else:
            self._next = min(self._next, state.last_sequence + 1)

    async def _last_known(
        self, connection: HubConnection, info: StreamInfo, places: list[Place]
    ) -> Place | None:
        """Return the last of `places` that the stream still holds, or has deleted in order."""
        low, high = 0, len(places)  # those before `low` are known to hold, those from `high` on not to
        probe = high - 1
        while low < high:
            if await self._holds(connection, info, places[probe]):
                low = probe + 1
            else:
                high = probe
            probe = (low + high) // 2
        return places[low - 1] if low else None

    async def _holds(self, connection: HubConnection, info: StreamInfo, place: Place) -> bool:
        if place.sequence < info.state.first_sequence:
            return True
        if place.sequence > info.state.last_sequence:
            return False
        message = await self._at(connection, place.sequence)
        if message is None or message.sequence != place.sequence:
            return False
        try:
            return headers.parse(message.headers).batch == place.batch
        except headers.HeaderError:
            return False

    async def _first_with(self, connection: HubConnection, info: StreamInfo, from_us: int) -> int:
        """Return the number of the first message that may hold a frame with a time stamp from `from_us` on."""
        state = info.state
        if not from_us:
            return state.first_sequence
        low, high = state.first_sequence, state.last_sequence + 1
        while low < high:
            middle = (low + high) // 2
            message = await self._at(connection, middle)
            if message is None or message.sequence >= high or _last_stamp(message) >= from_us:
                high = middle
            else:
                low = message.sequence + 1
        # A gateway whose clock was set in between has its stamps in no order: the time of arrival helps.
        start = _EPOCH + timedelta(microseconds=from_us) - _EARLIER
        arrived = await read_batch(connection, self._stream, self._subject, start=start, batch=1)
        return min([low, *(message.sequence for message in arrived.messages)])

    async def _at(self, connection: HubConnection, sequence: int) -> StoredMessage | None:
        """Return the first message of the bus from this number on, or None."""
        found = await read_batch(connection, self._stream, self._subject, sequence=sequence, batch=1)
        return found.messages[0] if found.messages else None


def _last_stamp(message: StoredMessage) -> int:
    try:
        return headers.parse(message.headers).last_us
    except headers.HeaderError:
        return message.time_us


async def _set_within(event: asyncio.Event, connection: HubConnection, within_s: float) -> bool:
    """Wait for an event, for a time; return whether it is set. Raises HubError if the connection ends."""
    waiting = asyncio.ensure_future(event.wait())
    closed = asyncio.ensure_future(connection.wait_closed())
    try:
        await asyncio.wait({waiting, closed}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if closed.done():
            raise closed.result()
        return event.is_set()
    finally:
        waiting.cancel()
        closed.cancel()
