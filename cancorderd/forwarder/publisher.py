"""Connection after connection to the hub, and the batches that are published on each. Asynchronous shell.

`resume` decides where to go on, `window` what is in flight, `outbox` what comes next. Nothing is published without a
guard: the stream's name and the sequence number before (see `window`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from typing import TYPE_CHECKING

import nats.errors

from cancorderd.forwarder.answers import Answers
from cancorderd.forwarder.resume import (
    FOREIGN_AGAIN_S,
    Foreign,
    ForeignWatch,
    GoOn,
    Mark,
    Own,
    StreamState,
    Verdict,
    resume,
)
from cancorderd.forwarder.stream_end import last_head, stream_state
from cancorderd.forwarder.window import (
    MOST_BATCHES,
    NOBODY,
    OTHER_STREAM,
    Refused,
    Window,
    refusal_sentence,
)
from cancorderd.hub import headers, jetstream
from cancorderd.hub.connection import open_connection
from cancorderd.hub.failures import (
    AccessMistake,
    ApiError,
    ConnectionLost,
    HubError,
    LibraryMissing,
    LoginRefused,
    NoAnswer,
    NoJetStream,
    TlsFailed,
)
from cancorderd.hub.failures import Refused as RightMissing
from cancorderd.hub.subjects import stream_name, subject
from cancorderd.ipc.backoff import Backoff
from cancorderd.printable import error_text

if TYPE_CHECKING:
    from cancorderd.forwarder.entry import Entry
    from cancorderd.forwarder.outbox import Outbox
    from cancorderd.forwarder.owner import Owner
    from cancorderd.hub.access import HubAccess
    from cancorderd.hub.answer_sieve import Answer
    from cancorderd.hub.connection import HubConnection

log = logging.getLogger("cancorderd.forward")

_BACKOFF = Backoff(first_s=0.25, longest_s=5.0, jitter=0.25)
_REFUSED_S, _LONGEST_REFUSED_S = 1.0, 5.0
"""Pause after a refusal without progress, for each in a row, and the longest."""
_FOREIGN_LOOK_S = 2.0
"""Interval at which a stream is looked at that holds batches of another gateway, until it is known to move."""
_CHECK_S = 0.5
_EXPIRY_CHECKS = 7200
"""An hour: a connection may last longer than a certificate."""
_PASSING = (jetstream.WRONG_LAST_SEQUENCE, OTHER_STREAM, NOBODY)
"""Refusals as after a stream was deleted and made again: if they do not repeat, the stream's state explains them."""
_TO_BE_ACTED_ON = (
    AccessMistake,
    ApiError,
    LibraryMissing,
    LoginRefused,
    NoJetStream,
    RightMissing,
    TlsFailed,
)
"""Failures that do not pass by themselves, unlike a network's."""


class Publisher:
    """Publishes what the outbox holds, for ever. Its attributes are the state for `status`."""

    def __init__(
        self, access: HubAccess, gateway: str, spools: list[str], outbox: Outbox, owner: Owner
    ) -> None:
        """`spools` are the spool ids of this machine, our own last."""
        self._access = access
        self._gateway = gateway
        self._stream = stream_name(gateway)
        self._spools = spools
        self._places = {spool: place for place, spool in enumerate(spools)}
        self._stored: Mark | None = None
        """The last batch that was acknowledged."""
        self._sequence = 0
        """Its sequence number in the stream."""
        self._created = ""
        """When the stream was made, at that time."""
        self._empty = False
        """Whether the stream was found empty, and has stored nothing since."""
        self._outbox = outbox
        self._owner = owner
        self.connected = False
        self.reason = "not connected yet"
        self.url = access.url[0] if access.url else ""
        self.refused = False
        """Whether somebody has to act."""
        self.epoch = 0
        self._answers: Answers | None = None
        """The connection's, while batches may be sent on it."""
        self._window: Window | None = None
        self._refusal: Refused | None = None
        self._full = False
        """Whether a batch waits until there is room in the window."""
        self._wake = asyncio.Event()
        self._foreign = ForeignWatch()
        self._progress = False
        """Whether this connection has stored a batch."""
        self._refusals = 0
        """Refusals since the last batch that was stored."""
        self._unanswered = False
        """Whether the last one was that of a batch behind another without an answer."""
        self._most_bytes = 0
        """Bytes of a body, at most."""
        self._too_large: int | None = None
        """Bytes of a body that waits because it is larger."""
        self._told = ""
        self._expiry_told: set[str] = set()

    @property
    def in_flight(self) -> list[Entry]:
        return self._window.entries if self._window else []

    @property
    def behind(self) -> bool:
        """Whether a new batch has to wait for the hub, or for others before it."""
        return self._answers is None or self._full or self._outbox.next_load() is not None

    async def run(self) -> None:
        """Connect again and again."""
        failures = 0
        while True:
            self._progress = False
            try:
                connection = await open_connection(self._access, f"cancorder {self._gateway}")
                try:
                    await self._serve(connection)
                finally:
                    if not self._progress:
                        self._access = self._access.with_last(connection.server)
                    self._put_back()
                    await connection.close()
            except HubError as error:
                self._disconnected(str(error), refused=isinstance(error, _TO_BE_ACTED_ON))
            except (nats.errors.Error, OSError) as error:
                text = f"{self.url}: the connection ended ({error_text(error)})."
                self._disconnected(text, refused=False)
            failures = 1 if self._progress else failures + 1
            await asyncio.sleep(_BACKOFF.delay_s(failures, random.random()))  # noqa: S311 - jitter

    async def _serve(self, connection: HubConnection) -> None:
        """Use a connection until it fails. Raises HubError."""
        self.url = str(connection.server)
        self._tell_expiry(connection)
        answers = Answers(connection, self._on_answers)
        while True:
            state = await stream_state(connection, self._gateway)
            self._limit_bodies(connection, state)
            decision = resume(state, self._own)
            if isinstance(decision, Foreign):
                if not await self._may_take_over(state):
                    continue
                decision = GoOn(
                    None, told="the stream's earlier gateway stood still: this one goes on in its place"
                )
            self._foreign.forget()
            await self._look_up(connection)
            self._go_on(decision, state)
            await self._publish(connection, answers)

    @property
    def _own(self) -> Own:
        return Own(
            self._spools, self._stored, self._sequence, self._created, self._empty, self._owner.last_number()
        )

    def _tell_expiry(self, connection: HubConnection) -> None:
        """Log certificates and credentials that expire soon; the sentence changes each day."""
        for sentence in connection.notices:
            if sentence not in self._expiry_told:
                self._expiry_told.add(sentence)
                self._owner.notice("warning", sentence)

    def _limit_bodies(self, connection: HubConnection, state: StreamState) -> None:
        limit = min(connection.max_payload, state.max_message or connection.max_payload)
        if limit < headers.LEAST_MESSAGE:
            key = f"max_msg_size of {self._stream}" if limit == state.max_message else "max_payload"
            raise ApiError(
                f"{connection.server}: {key} is {limit}, too small for batches. "
                f"Set it to at least {headers.LEAST_MESSAGE}, or leave it out."
            )
        self._most_bytes = limit - headers.HEADER_ROOM
        self._owner.limit_bodies(self._most_bytes)

    async def _may_take_over(self, state: StreamState) -> bool:
        """Return whether the stream's foreign gateway is gone; waits a moment before it returns False."""
        verdict = self._foreign.look(state.last_sequence, time.monotonic())
        if verdict is Verdict.TAKE_OVER:
            return True
        if verdict is Verdict.ANOTHER_GATEWAY:
            reason = f"another gateway is called {self._gateway}. Set forward.gateway."
            self._disconnected(reason, refused=True)
            await asyncio.sleep(FOREIGN_AGAIN_S)
        else:
            self._disconnected(
                f"the stream of {self._gateway} holds batches of another gateway: waiting for 30 s whether it still sends.",
                refused=False,
            )
            await asyncio.sleep(_FOREIGN_LOOK_S)
        return False

    async def _look_up(self, connection: HubConnection) -> None:
        """Read the last messages of the buses about which something is unknown."""
        for bus in self._owner.look_ups():
            self._owner.on_last_message(bus, await last_head(connection, self._gateway, bus))

    def _go_on(self, decision: GoOn, state: StreamState) -> None:
        if decision.new_epoch:
            self.epoch += 1
        if decision.told:
            self._owner.notice("warning", decision.told)
        in_flight = self.in_flight
        self._window = None
        self._owner.on_resume()
        for entry in self._outbox.resume(decision.behind, self._spools, in_flight, again=decision.again):
            self._acknowledged(entry)
        self._sequence, self._created, self._empty = state.last_sequence, state.created, state.empty
        self._window = Window(state.last_sequence, time.monotonic())
        self._refusal = None

    async def _publish(self, connection: HubConnection, answers: Answers) -> None:
        """Publish until a batch is refused; returns then. Raises HubError."""
        if not self._refusals:
            self._connected()
        closed = asyncio.ensure_future(connection.wait_closed())
        closed.add_done_callback(lambda _: self._wake.set())
        looking = asyncio.create_task(self._wake_regularly(connection))
        self._answers, self._too_large = answers, None
        try:
            while self._refusal is None:
                self._wake.clear()
                self.send()
                while not self._full and (segment := self._outbox.next_load()) is not None:
                    await self._owner.load(segment)
                    self.send()
                await self._wake.wait()
                if closed.done():
                    raise ConnectionLost(str(closed.result()))
                if self._too_large:
                    self._refusals += 1
                    raise ApiError(
                        f"{connection.server}: a batch of {self._too_large} bytes waits that was made for a greater "
                        f"max_payload. Set it to at least {self._too_large + headers.HEADER_ROOM} until it is sent."
                    )
                if connection.last_refusal is not None:
                    self._refusals += bool(self.in_flight)
                    raise connection.last_refusal
                if self._window and self._window.silent(time.monotonic()):
                    raise NoAnswer(
                        f"{connection.server}: acknowledged nothing for 30 s. Check network and server."
                    )
        finally:
            self._answers = None
            closed.cancel()
            looking.cancel()
        await self._on_refusal(connection, self._refusal)

    async def _on_refusal(self, connection: HubConnection, refusal: Refused) -> None:
        self._refusals += 1
        self._unanswered = refusal.unanswered
        if refusal.code not in _PASSING or self._refusals > 1:
            correction = jetstream.hub_init(connection.server, self._gateway)
            sentence = refusal_sentence(refusal, self._gateway, correction)
            self._disconnected(f"{connection.server}: {sentence}", refused=True)
            await asyncio.sleep(min(self._refusals * _REFUSED_S, _LONGEST_REFUSED_S))
        elif not self._progress:
            await asyncio.sleep(_REFUSED_S)
        self._progress = False

    async def _wake_regularly(self, connection: HubConnection) -> None:
        """Look at the connection now and then, too: a limit of time for each wait would cost a task for each batch."""
        for checks in itertools.count(1):
            await asyncio.sleep(_CHECK_S)
            self._wake.set()
            if checks % _EXPIRY_CHECKS == 0:
                self._tell_expiry(connection)

    @property
    def _offered(self) -> int:
        """Batches in flight, at most. A hub that refuses is offered few: a refusal of a whole window may cost a megabyte."""
        if not self._refusals:
            return MOST_BATCHES
        return 2 if self._unanswered else 1  # the refusal of the second shows that the first gets no answer

    def send(self) -> None:
        """Send the batches in memory for which the window has room. Never waits; does nothing while sending is not possible."""
        window, answers = self._window, self._answers
        if window is None or answers is None or not answers.open or self._refusal or self._too_large:
            return
        self._full = False
        while (size := self._outbox.peek_size()) is not None:
            if not window.has_room(size, most=self._offered):
                self._full = True
                break
            entry, had = self._outbox.take()
            for each in had:
                self._acknowledged(each)
            if entry is None:
                continue
            if len(entry.body) > self._most_bytes:
                self._outbox.put_back([entry])
                self._too_large = len(entry.body)
                self._wake.set()
                break
            before = window.publish(entry, time.monotonic())
            guard = {"Nats-Expected-Stream": self._stream, "Nats-Expected-Last-Sequence": str(before)}
            head = headers.encode(self._owner.head(entry, self.epoch))
            answers.publish(subject(self._gateway, entry.bus), entry.body, before, head | guard)
        answers.send()
        if size is None and self._outbox.next_load() is not None:
            self._wake.set()

    def _on_answers(self, answers: list[Answer]) -> None:
        for answer in answers:
            if self._window is None or self._refusal is not None:
                return
            meaning = self._window.answer(answer.number, answer.body, answer.status, time.monotonic())
            if isinstance(meaning, Refused):
                self._refusal = meaning
                self._wake.set()
                return
            self._progress = True
            if self._refusals:
                self._refusals = 0
                self._connected()
            self._sequence, self._empty = answer.number + 1, False
            self._acknowledged(meaning.entry)
        if self._full:
            self.send()

    def _acknowledged(self, entry: Entry) -> None:
        batch = entry.head.batch
        mark = Mark(self._places.get(batch.spool, -1), batch.number)
        self._stored = max(self._stored or mark, mark)
        self._outbox.acknowledged(entry)
        self._owner.on_acknowledged(entry)

    def _put_back(self) -> None:
        """The connection is gone: what was in flight may have arrived or not."""
        if self._window is not None:
            self._outbox.put_back(self._window.entries)
            self._window = None
        self._owner.on_resume()

    def _connected(self) -> None:
        if not self.connected:
            self.connected, self.reason, self.refused = True, "", False
            self._tell("info", f"connected to {self.url}")
            self._owner.on_state()

    def _disconnected(self, reason: str, *, refused: bool) -> None:
        changed = (self.connected, self.reason) != (False, reason)
        self.connected, self.reason, self.refused = False, reason, refused
        self._tell("warning", reason)
        if changed:
            self._owner.on_state()

    def _tell(self, level: str, text: str) -> None:
        """Log a sentence unless it was the last one."""
        if text != self._told:
            self._told = text
            self._owner.notice(level, text)
