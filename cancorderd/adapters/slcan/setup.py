"""The conversation that sets an adapter up, as a state machine of the time and of the bytes that arrive. Pure.

In a round the adapter is closed, set and opened: C, S, Y, Z, V, N, O, each after the answer to the one before, since
some firmware runs only the first command of a USB packet. Two kinds of adapters run:

- An adapter that acknowledged its bitrate before it was opened. Every answer belongs to the only command that is under
  way. If there were several (C is repeated for boards that start), the round waits until no answer is left.
- An adapter that acknowledged no setting in two rounds that began after boards have started (CANable, CANtact). It
  runs from its first well-formed frame on.

A wrong bitrate disturbs the bus, so O is never sent to an adapter that may have missed its bitrate. Empty lines of a
board that starts look like acknowledgements: until every board hears, C and S are sent again after the answer to V, which
proves that the adapter hears if it begins with V, or if it and all before it came at once. If nothing is acknowledged, the last S is sent when every board hears, and O when every answer would
have come. A refusal counts if a later round repeats it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from cancorderd.adapters.failures import BusError, SettingsRefused
from cancorderd.adapters.slcan.burst import QUIET_S, Burst
from cancorderd.adapters.slcan.commands import meaning
from cancorderd.adapters.slcan.decoder import BEL, CR, SlcanDecoder
from cancorderd.adapters.slcan.replies import answer_in, is_frame, lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.adapters.slcan.commands import Command
    from cancorderd.adapters.slcan.replies import Replies

LIMIT_S = 20.0
"""Longest set-up."""
USUAL_S = 3.0
"""Time after which text that is no answer is worth a sentence."""

_STARTED_S = 2.0
"""Time after opening from which a missing acknowledgement, or a refusal, counts."""
_AWAKE_S = 3.1
"""Time after opening from which every board hears: they are deaf for 3 s at most."""
_LATEST_ANSWER_S = 3.2
_PROMPT_S = 0.1
"""Answers of all commands of a round within this time are no lines that a board prints by itself."""
_REPEAT_CLOSE_S = 0.5
"""Interval between Cs that are not answered."""
_NO_MORE_ANSWERS_S = _REPEAT_CLOSE_S + 0.35
"""Answers follow each other as their commands did; after this pause there is none left."""
_NO_MORE_UNHEARD_S = 1.6
"""The same after a round in which commands were sent without answers, for some of them may have none."""
_SPACING_S = 0.3
"""Interval between commands of a round in which nothing is acknowledged."""
_REST_S = 0.7
"""Pause before the round after a refusal."""
_OPTIONAL_ANSWER_S = 0.5
_SLOW_S = 1.0
"""An adapter that takes longer for an answer is asked for no more than it needs."""
_REPEAT_EVERY_S = 10.0
"""Interval of further rounds for an adapter that never sent anything: its power may come late."""
_ROUNDS_WITHOUT = 2
"""Rounds without acknowledgement after which the adapter is one that does not acknowledge."""
_SHOWN_BYTES = 40
_CLOSE = b"C"
_QUESTIONS = {b"V": "version", b"N": "serial"}
"""Commands whose answers `status` shows, and the names that it shows them by."""


class Stage(enum.Enum):
    """Where the conversation is."""

    CLOSING = enum.auto()
    """C was sent, or several Cs."""
    SETTLING = enum.auto()
    """Several commands were under way; the round goes on when no answer is left."""
    ASKING = enum.auto()
    """The command `_index` is under way."""
    UNHEARD = enum.auto()
    """C was not answered: commands follow each other without answers."""
    OPENING = enum.auto()
    RESTING = enum.auto()
    UNPROVED = enum.auto()
    """Opened without acknowledgement: the first frame is the proof."""
    PROVED = enum.auto()


class SetUp:
    """One conversation. `step` is called with all that arrives, and when `due_s` has passed."""

    def __init__(self, commands: Sequence[Command], place: str, now_s: float) -> None:
        self.stage = Stage.RESTING
        self.details: dict[str, str] = {}
        """Answers to V and N, and the commands that were not acknowledged."""
        self._commands = commands
        self._echoes = (_CLOSE, *(command.text for command in commands))
        self._place = place
        self._opened_s = now_s
        self._limit_from_s = now_s
        self._deadline_s = now_s
        """Time at which the stage ends by itself."""
        self._burst = Burst(self._echoes, now_s)
        self._settling_s = now_s
        self._foreign = b""
        """First bytes that are no answer."""
        self._sent = b""
        self._sent_s = now_s
        self._latency_s = 0.0
        """Longest time from a command to its answer."""
        self._answers = False
        """Whether the adapter has answered, as far as is known."""
        self._sample = SlcanDecoder()
        """Finds the first well-formed frame, whatever the filters of the bus."""
        # The present round:
        self._round_began_s = now_s
        self._closes = 0
        """Cs since the last answer."""
        self._index = 0
        self._queue: list[bytes] = []
        self._unheard = False
        """Whether commands were sent without waiting: late answers, also to V, may come."""
        self._bitrate_sent_s = now_s
        self._unacknowledged: list[bytes] = []
        self._missed = False
        """Whether a command after the bitrate was not answered."""
        self._hears = False
        """Whether V was answered as only an adapter answers that hears it."""
        self._prompt = True
        """Whether each command was answered at once."""
        self._confirmed = False
        """Whether the adapter was closed and set again after that answer."""
        # All rounds:
        self._rounds_without = self._openings_without = 0
        self._collided = False
        """Whether an answer and text came together, so that the answer was lost: rounds have to be short."""
        self._refusals: dict[bytes, int] = {}
        self._reconsidered = False
        self._version = b""
        """Answer to V in a round in which nothing was acknowledged."""

    @property
    def proved(self) -> bool:
        return self.stage == Stage.PROVED

    @property
    def due_s(self) -> float:
        """Time of the next `step`, if nothing arrives before."""
        return self._burst.due_s(self._deadline_s)

    @property
    def goes_on(self) -> bool:
        """Return whether the conversation goes on; it has ended if the first frame has to be the proof."""
        return self.stage not in (Stage.UNPROVED, Stage.PROVED)

    def usual(self, now_s: float) -> bool:
        """Return whether the set-up still takes its usual time."""
        return self.stage != Stage.UNPROVED and now_s - self._opened_s < USUAL_S

    def waiting(self, now_s: float) -> str:
        """Return why the bus does not run yet; empty if it runs."""
        if self.proved:
            return ""
        nothing = f"{self._place}: nothing acknowledged; no frame yet."
        if self._foreign and now_s - self._opened_s >= USUAL_S and not self._answers:
            shown = repr(self._foreign)[2:-1]
            return f"{nothing} It sends '{shown}': if that is no slcan adapter, correct channel."
        if self.stage != Stage.UNPROVED:
            return f"{self._place} is being set up."
        if self._answers:
            missing = self.details["unacknowledged"]
            return f"{self._place}: {missing} not acknowledged; no frame yet. Check bitrate and firmware."
        return f"{nothing} Check channel, bitrate and wiring; the bus runs from its first frame on."

    def step(self, data: bytes, now_s: float) -> tuple[bytes, bytes]:
        """Go on with the conversation. Returns the text to send, and bytes of the stream that is open.

        Raises SettingsRefused if the adapter refuses a setting, BusError if the set-up comes to no end.
        """
        if self.stage not in (Stage.PROVED, Stage.UNPROVED) and now_s - self._limit_from_s >= LIMIT_S:
            raise BusError(
                f"{self._place}: the answers to the settings come too late or contradict each other. Check its firmware."
            )
        if data:
            self._burst.add(data, now_s)
        to_send = stream = b""
        if self.stage == Stage.UNPROVED:
            stream = data
            self._look_for_a_frame(data)
        elif self.stage == Stage.OPENING and data:
            to_send, stream = self._read_opening(now_s)
        if self.proved:
            return b"", stream
        if self._burst.data and not to_send:
            replies = self._burst.complete(now_s)
            self._note_foreign(replies.text if replies else self._burst.talk)
            if replies:
                to_send = self._handle(replies, now_s)
        answering = self.stage != Stage.RESTING and self._burst.may_be_answer(now_s)
        if not to_send and now_s >= self._deadline_s and not answering:
            to_send = self._time_out(now_s)
        return to_send + CR if to_send else b"", stream

    def _handle(self, replies: Replies, now_s: float) -> bytes:
        """React to what arrived before a pause; returns the next command, or nothing."""
        match self.stage:
            case Stage.CLOSING if replies.answers:
                return self._closed(len(replies.answers), now_s)
            case Stage.CLOSING if replies.doubtful and self._started(now_s):
                self._collide(now_s)
            case Stage.SETTLING if replies.answers or (replies.text and self._unheard):
                self._settle(now_s)
            case Stage.SETTLING if replies.text or replies.frames:
                return self._begin_round(now_s)
            case Stage.ASKING:
                return self._answered(replies, now_s)
            case Stage.RESTING if replies.answers:
                self._deadline_s = max(self._deadline_s, now_s + _NO_MORE_ANSWERS_S)
            case Stage.UNHEARD if replies.answers:
                self._rounds_without = 0
                self._settle(now_s)
            case Stage.UNHEARD if replies.text and self._asks:
                self._note_version(replies.text, now_s)
            case Stage.UNPROVED if replies.answers and not self._answers and not self._reconsidered:
                self._reconsidered = True
                self._rounds_without = 0
                self._limit_from_s = now_s
                self._settle(now_s)
        return b""

    @property
    def _asks(self) -> bool:
        """Whether text may be the answer to a question."""
        return self.stage in (Stage.ASKING, Stage.UNHEARD) and self._sent in _QUESTIONS

    def _note_foreign(self, text: bytes) -> None:
        if text and not self._asks:
            self._foreign = self._foreign or text[:_SHOWN_BYTES]

    def _time_out(self, now_s: float) -> bytes:
        """The stage is over although nothing decisive arrived; returns the next command, or nothing."""
        match self.stage:
            case Stage.RESTING:
                return self._begin_round(now_s)
            case Stage.CLOSING:
                return self._not_closed(now_s)
            case Stage.SETTLING:
                self._unheard = False
                self._round_began_s = now_s
                return self._ask(0, now_s)
            case Stage.ASKING:
                return self._not_answered(now_s)
            case Stage.UNHEARD:
                return self._next_unheard(now_s)
            case Stage.OPENING:
                return self._not_opened(now_s)
            case Stage.UNPROVED:
                return self._repeat(now_s)
        return b""

    def _send(self, command: bytes, stage: Stage, now_s: float, patience_s: float) -> bytes:
        self.stage = stage
        self._sent, self._sent_s = command, now_s
        self._deadline_s = now_s + patience_s
        return command

    # The adapter is closed.

    def _begin_round(self, now_s: float) -> bytes:
        self._round_began_s = now_s
        if self._answers:
            self._closes = 0
        self._unacknowledged = []
        self._missed = self._hears = self._confirmed = False
        self._prompt = True
        return self._close(now_s)

    def _close(self, now_s: float) -> bytes:
        self._closes += 1
        interval_s = _SPACING_S if self._counts else _REPEAT_CLOSE_S
        return self._send(_CLOSE, Stage.CLOSING, now_s, _LATEST_ANSWER_S if self._answers else interval_s)

    def _closed(self, answers: int, now_s: float) -> bytes:
        self._answers = True
        if self._closes > 1 or answers > 1:
            self._settle(now_s)
            return b""
        self._unheard = False
        self._note_latency(now_s)
        return self._ask(0, now_s)

    def _note_latency(self, now_s: float) -> None:
        latency_s = now_s - QUIET_S - self._sent_s
        self._latency_s = max(self._latency_s, latency_s)
        self._prompt = self._prompt and latency_s <= _PROMPT_S

    def _not_closed(self, now_s: float) -> bytes:
        self._answers = False
        if self._counts:
            self._queue = [command.text for command in self._commands[:-1] if command.text != b"N"]
            return self._next_unheard(now_s)
        return self._begin_round(now_s) if self._started(now_s) else self._close(now_s)

    def _settle(self, now_s: float) -> None:
        if self.stage != Stage.SETTLING:
            self._settling_s = now_s
        self.stage = Stage.SETTLING
        self._answers = True
        self._prompt = False
        self._deadline_s = now_s + (_NO_MORE_UNHEARD_S if self._unheard else _NO_MORE_ANSWERS_S)
        # A device that talks all the time would go on settling for ever.
        self._deadline_s = min(self._deadline_s, self._settling_s + _LATEST_ANSWER_S + _NO_MORE_UNHEARD_S)

    def _collide(self, now_s: float) -> None:
        """An answer, or none, came together with text of a board that has started: wait, and begin another round."""
        self._collided = True
        answers = self._answers
        self._settle(now_s)
        self._answers = answers

    @property
    def _counts(self) -> bool:
        """Whether the round began when boards have started."""
        return self._started(self._round_began_s)

    @property
    def _surely_heard(self) -> bool:
        """Whether the bitrate was sent when every board hears."""
        return self._bitrate_sent_s - self._opened_s >= _AWAKE_S

    def _started(self, time_s: float) -> bool:
        return time_s - self._opened_s >= _STARTED_S

    # The adapter answers.

    def _ask(self, index: int, now_s: float) -> bytes:
        """Send the command of that number; leave out those that only help if the adapter is slow."""
        helps = self._latency_s < _SLOW_S and not self._confirmed
        if self._collided and self._surely_heard:
            helps = False
        while not (self._commands[index].required or helps):
            index += 1
        self._index = index
        command = self._commands[index]
        if index == len(self._commands) - 1:
            return self._open(command.text, now_s)
        if index == 0:
            self._bitrate_sent_s = now_s
        patience_s = min(_LATEST_ANSWER_S, max(_OPTIONAL_ANSWER_S, 2 * self._latency_s + QUIET_S))
        return self._send(
            command.text, Stage.ASKING, now_s, _LATEST_ANSWER_S if command.required else patience_s
        )

    def _answered(self, replies: Replies, now_s: float) -> bytes:
        question = _QUESTIONS.get(self._sent)
        required = self._commands[self._index].required
        if replies.frames and required and not replies.answers:  # it is still open
            return self._without(now_s)
        if len(replies.answers) > 1:
            self._settle(now_s)
            return b""
        if replies.doubtful and required and self._started(now_s):
            self._collide(now_s)
            return b""
        if not (replies.answers or (question and replies.text)):
            starts = bool(replies.text) and not self._surely_heard
            return self._begin_round(now_s) if starts and self._index else b""
        if replies.answers == BEL and required:
            return self._refused(now_s)
        self._note_latency(now_s)
        if self._sent == b"V":
            self._hears = replies.text[:1] in (b"V", b"v") or bool(replies.answers and self._prompt)
        if question and replies.text:
            self._store_answer(question, replies.text)
        return self._ask(self._index + 1, now_s)

    def _not_answered(self, now_s: float) -> bytes:
        if self._commands[self._index].required:
            self._unacknowledged.append(self._sent)
            if not self._counts or self._rounds_without + 1 < _ROUNDS_WITHOUT:
                return self._without(now_s)
        self._missed = True
        return self._ask(self._index + 1, now_s)

    def _without(self, now_s: float) -> bytes:
        """Begin another round, since a setting was not acknowledged in this one."""
        self._rounds_without += self._counts
        return self._begin_round(now_s)

    def _refused(self, now_s: float) -> bytes:
        before = self._refusals.get(self._sent, 0)
        self._refusals[self._sent] = before + self._counts
        if before and self._counts:
            raise SettingsRefused(
                f"the adapter at {self._place} refuses {self._sent.decode()} ({meaning(self._sent)}). "
                "Use another setting, or check its firmware."
            )
        self.stage = Stage.RESTING
        self._deadline_s = now_s + (_LATEST_ANSWER_S if self._missed else _REST_S)
        return b""

    def _store_answer(self, name: str, text: bytes) -> None:
        answer = text.removeprefix(self._sent)
        if answer != text or name == "version":
            self.details[name] = answer.decode("ascii", "replace")

    # Nothing is acknowledged.

    def _next_unheard(self, now_s: float) -> bytes:
        if not self._queue:
            if self._rounds_without + 1 < _ROUNDS_WITHOUT or not self._surely_heard:
                return self._without(now_s)
            self._unacknowledged = [command.text for command in self._commands if command.required]
            return self._open_unproved(self._commands[-1].text, now_s)
        command = self._queue.pop(0)
        if command == self._commands[0].text:
            self._bitrate_sent_s = now_s
        self._unheard = True
        wait_s = _SPACING_S
        if not self._queue and self._rounds_without + 1 >= _ROUNDS_WITHOUT:
            wait_s = self._bitrate_sent_s + _LATEST_ANSWER_S - now_s
        return self._send(command, Stage.UNHEARD, now_s, wait_s)

    def _note_version(self, text: bytes, now_s: float) -> None:
        """An adapter that answers V has read the settings before it: its acknowledgement needs no longer wait.

        A device that talks by itself says something else the next time.
        """
        before, self._version = self._version, text
        if before == text:
            self._store_answer(_QUESTIONS[self._sent], text)
            self._deadline_s = now_s
        elif before:
            self._foreign = self._foreign or text[:_SHOWN_BYTES]
        elif self._rounds_without + 1 < _ROUNDS_WITHOUT:
            self._deadline_s = now_s

    def _repeat(self, now_s: float) -> bytes:
        """Send the settings again to an adapter that has never sent anything."""
        if self._answers:
            self._deadline_s = now_s + _REPEAT_EVERY_S
            return b""
        if not self._queue:
            self._queue = [_CLOSE, *(command.text for command in self._commands if command.required)]
        command = self._queue.pop(0)
        return self._send(command, Stage.UNPROVED, now_s, _SPACING_S if self._queue else _REPEAT_EVERY_S)

    # The adapter is opened.

    def _open(self, text: bytes, now_s: float) -> bytes:
        if self._unacknowledged:
            return self._open_unproved(text, now_s)
        if not (self._surely_heard or self._confirmed):
            if self._hears:
                self._confirmed = True
                self._closes = 0
                return self._close(now_s)
            self.stage = Stage.RESTING
            self._deadline_s = max(self._opened_s + _AWAKE_S, now_s + _REST_S)
            return b""
        return self._send(text, Stage.OPENING, now_s, _OPTIONAL_ANSWER_S + 2 * self._latency_s)

    def _open_unproved(self, text: bytes, now_s: float) -> bytes:
        self.details["unacknowledged"] = ", ".join(command.decode() for command in self._unacknowledged)
        return self._send(text, Stage.UNPROVED, now_s, _REPEAT_EVERY_S)

    def _read_opening(self, now_s: float) -> tuple[bytes, bytes]:
        """Read the answer to O, which frames may follow; returns the next command and the stream."""
        begin = 0
        for line in lines(self._burst.data):
            answer = answer_in(line, self._echoes)
            if answer == BEL:
                self._burst.clear()
                return self._refused(now_s), b""
            if answer or (line.end and is_frame(line.text)):
                stream = self._burst.data[line.after if answer else begin :]
                # A frame proves that the channel is open, but not that it listens only.
                self._prove([] if answer or self._sent == b"O" else [self._sent])
                return b"", stream
            begin = line.after
        return b"", b""

    def _not_opened(self, now_s: float) -> bytes:
        self._openings_without += 1
        if self._openings_without < _ROUNDS_WITHOUT:
            return self._begin_round(now_s)
        self._prove([self._sent])
        return b""

    def _look_for_a_frame(self, data: bytes) -> None:
        if self._sample.decode(data, 0).frames or self._sample.remote_frames:
            self.stage = Stage.PROVED

    def _prove(self, unacknowledged: list[bytes]) -> None:
        self.stage = Stage.PROVED
        self.details.pop("unacknowledged", None)
        if unacknowledged:
            self.details["unacknowledged"] = ", ".join(command.decode() for command in unacknowledged)
