"""A process beside the workers (the page for browsers, the forwarder): started, watched, restarted and ended.

No bus depends on it. Whatever it sends on its channel is its heartbeat; `Notice` is a line for the log, `WorkerEnd` the
reason of its end, and everything else is for the owner. It ends by itself when the channel does. `side_policy` decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING, Protocol

from cancorderd.ipc.messages import EndRequest, Notice, WorkerEnd, printable_message
from cancorderd.supervisor.child_process import ChildProcess, end_fact, not_started_reason
from cancorderd.supervisor.heartbeat import CHECK_EVERY_S, Check, Silence
from cancorderd.supervisor.side_policy import End

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from cancorderd.ipc.channel import ReceivedMessage
    from cancorderd.ipc.messages import Message
    from cancorderd.supervisor.side_policy import SidePolicy

log = logging.getLogger("cancorderd")

_KILLED_WITHIN_S = 0.5
"""A process that even SIGKILL does not end, since the kernel waits for a device, is left behind at the end."""


class Owner(Protocol):
    """Owner of a process."""

    def on_start(self) -> None:
        """Send the first messages to the process, which is `running` from now on."""

    def on_message(self, message: Message) -> None:
        """Receive a message that concerns the owner alone."""

    def on_end(self, status: int) -> None:
        """Receive the exit status, after the last message and before anything follows the end."""

    def log(self, level: int, text: str) -> None:
        """Log a line about the process."""


class _LogAlone:
    """Owner that only logs the lines of its process, under the name of the process."""

    def __init__(self, name: str) -> None:
        self._name = name

    def on_start(self) -> None:
        pass

    def on_message(self, message: Message) -> None:
        pass

    def on_end(self, status: int) -> None:
        pass

    def log(self, level: int, text: str) -> None:
        log.log(level, "%s: %s", self._name, text)


class SideProcess:
    """One process at a time, which runs from `start` or `restart` to `end` or `stop`. Call these in a running loop."""

    def __init__(
        self, name: str, command: Sequence[str], policy: SidePolicy, owner: Owner | None = None
    ) -> None:
        """`--channel DESCRIPTOR` is appended to the command."""
        self.name = name
        self._command = command
        self._owner = owner or _LogAlone(name)
        self._policy = policy
        self._task: asyncio.Task[None] | None = None
        self._process: ChildProcess | None = None
        self._status: int | None = None
        """Exit status of the process, when it has ended."""
        self._last_words = ""
        self._wanted = False
        self._requested = False
        """Whether `restart` or `end` was called since the last start."""
        self._at_once = False
        """Whether `start` was called since the process started or ended: a reason not to run may be gone."""
        self._left_behind = False
        self._woken = asyncio.Event()
        self.restarts = 0
        """Crashes so far."""
        self.reason = ""
        """Why the process does not run; empty if it runs, or should not."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether a process runs that was not requested to end."""
        return self._process is not None and not self._requested

    def start(self) -> None:
        """Let the process run from now on; one that waits for its next try starts at once."""
        self._wanted = self._at_once = True
        self._woken.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_running(), name=self.name)

    async def started(self, within_s: float) -> bool:
        """Let the process run, at once, and return whether it does, at most `within_s` later."""
        self.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self.running:  # noqa: ASYNC110 - it takes a few milliseconds
                    await asyncio.sleep(0.01)
        return self.running

    def restart(self) -> None:
        """Start the process at once; one that runs ends in order before."""
        self._request()
        self.start()

    def end(self) -> None:
        """Let the process end in order, without waiting for it."""
        self._wanted = False
        self._request()

    async def stop(self, within_s: float | None = None, *, kill: bool = True) -> None:
        """End the process in order, and return when it has ended, or takes longer than `within_s`.

        It is killed then; unless `kill`, it is left behind, and ends by itself when this process has ended.
        """
        self.end()
        task = self._task
        if task is None:
            return
        _, late = await asyncio.wait(
            [task], timeout=self._policy.end_within_s if within_s is None else within_s
        )
        if late and self._process and not kill:
            self._left_behind = True
            self._owner.log(logging.WARNING, f"{self._policy.subject} still ends, and is left behind")
            task.cancel()
        elif late:
            if self._process:
                self._process.signal(signal.SIGKILL)
            await asyncio.wait([task], timeout=_KILLED_WITHIN_S)
            task.cancel()

    def send(self, message: Message, sock: socket.socket | None = None) -> None:
        """Send a message to the process, which has to be `running`, with a socket that is closed here."""
        if self._process:
            self._process.send(message, sock)

    def _request(self) -> None:
        self._requested = True
        self.reason = ""
        self._woken.set()

    async def _keep_running(self) -> None:
        failures = 0
        while self._wanted:
            self._requested = self._at_once = False
            end = await self._run_and_report()
            if self._requested:
                failures = 0
                continue
            decision = self._policy.after(end, failures)
            self.reason = decision.reason
            self.restarts += decision.crashed
            if decision.reason:
                self._owner.log(logging.ERROR, decision.reason)
            if decision.delay_s is None and not self._at_once:
                return
            self._at_once = False
            delay_s = decision.delay_s or 0.0
            at_once = await self._until(lambda: self._requested or self._at_once, delay_s)
            failures = 0 if at_once else decision.failures

    async def _run_and_report(self) -> End:
        """Run the process until it has ended. If anything fails here, the failure is the reason, and another try follows."""
        try:
            return await self._run()
        except (OSError, MemoryError) as error:
            return End(None, not_started_reason(error, self._policy.subject, again=""))
        except Exception as error:
            log.exception("%s: this is a bug", self.name)
            return End(None, not_started_reason(error, self._policy.subject))

    async def _run(self) -> End:
        """Run the process until it ends, hangs or is requested to end; on return, it has ended."""
        began_s = time.monotonic()
        self._status, self._last_words = None, ""
        process = ChildProcess(self._on_message, self._on_exit)
        try:
            process.spawn(self.name, self._command, blocked={signal.SIGTERM} if self._policy.asked else ())
            self._process = process
            self._owner.on_start()
            if hung := await self._too_long_silence(process):
                self._owner.log(logging.ERROR, f"{self._policy.subject} does not answer: it is replaced")
                process.signal(signal.SIGKILL)
            elif self._requested:
                await self._end_in_order(process)
            await process.wait()
        except Exception:
            process.signal(signal.SIGKILL)
            await process.wait()
            raise
        finally:
            if self._status is None and not self._left_behind:  # cancelled
                process.signal(signal.SIGKILL)
            self._process = None
        status = self._status or 0  # `wait` returns when it is known
        self._owner.on_end(status)
        fact = f"{hung} and was ended" if hung else end_fact(status)
        return End(status, fact, self._last_words, time.monotonic() - began_s)

    async def _too_long_silence(self, process: ChildProcess) -> str:
        """Return the fact when the process hangs, or nothing when it has ended or is requested to end."""
        last_s = time.monotonic()
        silence = Silence.from_start(last_s)
        while not await self._until(lambda: self._status is not None or self._requested, CHECK_EVERY_S):
            now_s = time.monotonic()
            process.read()  # if this check is late, messages wait
            silence = silence.checked(Check(now_s, last_s, CHECK_EVERY_S), process.last_message_s)
            last_s = now_s
            if silence.hung(now_s, self._policy.hung_s, self._policy.first_message_within_s):
                return silence.fact(now_s)
        return ""

    async def _end_in_order(self, process: ChildProcess) -> None:
        if self._policy.asked:
            process.send(EndRequest())
        else:
            process.signal(signal.SIGTERM)
        if not await self._until(lambda: self._status is not None, self._policy.end_within_s):
            process.signal(signal.SIGKILL)

    async def _until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Wait for a condition that the end of the process or a request can fulfil; returns whether it is fulfilled."""
        deadline_s = time.monotonic() + within_s
        while not condition() and (left_s := deadline_s - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._woken.wait()
            self._woken.clear()
        return condition()

    def _on_message(self, received: ReceivedMessage) -> None:
        match printable_message(received.message):
            case Notice(level, text):
                self._owner.log(logging.getLevelNamesMapping()[level.upper()], text)
            case WorkerEnd(reason):
                self._last_words = reason
            case message:
                self.reason = ""
                self._owner.on_message(message)

    def _on_exit(self, status: int) -> None:
        self._status = status
        self._woken.set()
