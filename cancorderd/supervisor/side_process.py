"""A process beside the workers, such as the page for browsers: started, watched and restarted.

No bus depends on it. It sends messages on a channel: anything is its heartbeat, `Notice` a line for the log,
`WorkerEnd` the reason of its end. It ends by itself when the channel does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from cancorderd.ipc import channel
from cancorderd.ipc.backoff import Backoff
from cancorderd.ipc.exit_statuses import SideExit
from cancorderd.ipc.messages import Notice, WorkerEnd, printable_message
from cancorderd.supervisor.worker_process import PRIVATE_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.ipc.channel import Channel

log = logging.getLogger("cancorderd")

_DELAYS = Backoff(1.0, 60.0, jitter=0.1)
_STABLE_S = 30.0
"""A process that ran for this time begins with the first delay again."""
_LOOK_EVERY_S = 0.25
_HUNG_S = 30.0
"""Time without a message after which the process is taken for hung; nothing urgent depends on it."""
_END_WITHIN_S = 2.0
"""From SIGTERM to SIGKILL."""


class SideProcess:
    """One process, which runs from `start` to `stop`. Create it in a running loop."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        delays: Backoff = _DELAYS,
        hung_s: float = _HUNG_S,
    ) -> None:
        """`--channel DESCRIPTOR` is appended to the command."""
        self.name = name
        self._command = command
        self._delays = delays
        self._hung_s = hung_s
        self._task: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._last_message_s = 0.0
        self._failures = 0
        self.reason = ""
        """Why the process does not run; empty if it runs, or should not."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Let the process run from now on. Does nothing if it does already."""
        if self._task is None or self._task.done():
            self._failures = 0
            self._task = asyncio.create_task(self._keep_running(), name=self.name)

    async def stop(self) -> None:
        """End the process, and return when it has ended."""
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.wait([task])
        self.reason = ""

    async def _keep_running(self) -> None:
        while True:
            started_s = time.monotonic()
            try:
                status = await self._run_once()
            except OSError as error:
                status = -1
                self.reason = f"it cannot be started: {error.strerror}."
            if status == SideExit.DONE:
                self.reason = ""
                return
            if status == SideExit.AGAIN:
                self._failures = 0
                continue
            self._failures = 1 if time.monotonic() - started_s >= _STABLE_S else self._failures + 1
            delay_s = self._delays.delay_s(self._failures)
            log.warning("%s: %s It is started again in %.0f s.", self.name, self.reason, delay_s)
            await asyncio.sleep(delay_s)

    async def _run_once(self) -> int:
        """Run the process until it ends; returns its exit status. A cancellation ends it."""
        ours, theirs = channel.pair()
        loop = asyncio.get_running_loop()
        self.reason = ""
        reason = ""

        def receive() -> None:
            nonlocal reason
            try:
                messages = ours.receive()
            except channel.ChannelClosed:
                loop.remove_reader(ours.fileno())
                return
            for received in messages:
                self._last_message_s = time.monotonic()
                match printable_message(received.message):
                    case Notice(level, text):
                        log.log(logging.getLevelNamesMapping()[level.upper()], "%s: %s", self.name, text)
                    case WorkerEnd(text):
                        reason = text

        try:
            with theirs:
                process = self._spawn(theirs.fileno())
            self._process = process
            self._last_message_s = time.monotonic()
            loop.add_reader(ours.fileno(), receive)
            try:
                hung = await self._ended(process)
            finally:
                await self._end(process)
                with contextlib.suppress(ValueError):
                    receive()  # the last messages
        finally:
            self._process = None
            _close(loop, ours)
        status = process.returncode
        if hung:
            reason = f"it sent no heartbeat for {self._hung_s:.0f} s and was ended."
        self.reason = reason or _end_text(status)
        return status

    def _spawn(self, descriptor: int) -> subprocess.Popen[bytes]:
        environment = {key: value for key, value in os.environ.items() if key not in PRIVATE_ENVIRONMENT}
        return subprocess.Popen(
            [*self._command, "--channel", str(descriptor)],
            pass_fds=[descriptor], stdin=subprocess.DEVNULL, env=environment, process_group=0,
        )  # fmt: skip

    async def _ended(self, process: subprocess.Popen[bytes]) -> bool:
        """Return when the process has ended, or with True when it hangs."""
        looked_s = time.monotonic()
        while process.poll() is None:
            await asyncio.sleep(_LOOK_EVERY_S)
            now_s = time.monotonic()
            # A supervisor that stood still has not read the heartbeats yet.
            if now_s - looked_s > self._hung_s / 2:
                self._last_message_s = now_s
            looked_s = now_s
            if now_s - self._last_message_s > self._hung_s:
                return process.poll() is None
        return False

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End the process: SIGTERM, then SIGKILL."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            deadline_s = time.monotonic() + _END_WITHIN_S
            while process.poll() is None:
                if time.monotonic() > deadline_s:
                    process.kill()
                await asyncio.sleep(_LOOK_EVERY_S / 10)


def _close(loop: asyncio.AbstractEventLoop, ours: Channel) -> None:
    if ours.fileno() >= 0:
        loop.remove_reader(ours.fileno())
    ours.close()


def _end_text(status: int) -> str:
    if status < 0:
        return f"it was ended by signal {-status} ({signal.strsignal(-status)})."
    return f"it ended with status {status}; its trace is in the log."
