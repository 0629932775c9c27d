"""One process of ours: spawned, signalled, and read from over its channel. It decides nothing.

`worker_process` is the process of a bus; `side_process` supervises one beside the workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.ipc import channel
from cancorderd.ipc.exit_statuses import WorkerExit
from cancorderd.ipc.messages import WorkerEnd

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Sequence
    from signal import Signals

    from cancorderd.ipc.channel import Channel, ReceivedMessage
    from cancorderd.ipc.messages import Message

log = logging.getLogger("cancorderd.bus")

_PRIVATE_ENVIRONMENT = (
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)
"""Between the supervisor and its service manager; a process that had these could answer in its place."""
_EXIT_CHECK_S = 0.5
_FIRST_EXIT_CHECK_S = 0.001
"""A process ends a moment after the kernel has closed its channel."""
_SEND_AGAIN_S = 0.1


class FirstMessage(NamedTuple):
    """A message that is in the channel before the process starts. The sockets are copied."""

    message: Message
    payload: bytes = b""
    sockets: Sequence[socket.socket] = ()


class ChildProcess:
    """A process with a channel.

    `on_message` receives its messages; `on_exit` receives its exit status, once, after the last message. Neither
    the number of messages nor whatever holds the other end of the channel can keep `on_exit` away.
    """

    def __init__(self, on_message: Callable[[ReceivedMessage], None], on_exit: Callable[[int], None]) -> None:
        self._on_message = on_message
        self._on_exit = on_exit
        self._process: subprocess.Popen[bytes] | None = None
        self._task: asyncio.Task[None] | None = None
        self._channel: Channel | None = None
        """None while no process runs, and once the channel has ended."""
        self._channel_ended = asyncio.Event()
        self._channel_broken = False
        self._passed: list[socket.socket] = []
        """Sockets that are the process's own from now on, and that the channel may still need."""
        self.last_message_s: float | None = None
        """Time of the latest message, in seconds on the monotonic clock; None before the first message."""

    @property
    def pid(self) -> int | None:
        """None until the process runs."""
        return self._process.pid if self._process else None

    def spawn(
        self,
        name: str,
        command: Sequence[str],
        messages: Sequence[FirstMessage] = (),
        blocked: Collection[Signals] = (),
    ) -> None:
        """Start the process. `--channel DESCRIPTOR` is appended to the command.

        It begins with `blocked` signals, until it unblocks them itself.
        If this raises, no process runs, and nothing else follows; `not_started_reason` words the exception.
        """
        loop = asyncio.get_running_loop()
        ours, theirs = channel.pair()
        # Everything that can fail comes before the process, so that no process is left without an owner.
        try:
            with theirs:
                for message, payload, sockets in messages:
                    ours.send(message, payload, sockets)
                loop.add_reader(ours.fileno(), self.read)
                inode = os.fstat(theirs.fileno()).st_ino
                self._process = _spawn(command, theirs.fileno(), blocked)
        except BaseException:
            loop.remove_reader(ours.fileno())
            ours.close()
            raise
        self._channel = ours
        self._task = asyncio.create_task(self._supervise(self._process, inode), name=f"process {name}")
        if ours.backlog:
            loop.add_writer(ours.fileno(), self._flush)

    def send(self, message: Message, sock: socket.socket | None = None, payload: bytes = b"") -> None:
        """Send a message to the process if it still runs, with a socket that is closed here."""
        if sock:
            self._passed.append(sock)
        self._send(message, [sock] if sock else [], payload)
        self._close_passed()

    def _close_passed(self) -> None:
        """Close the sockets that belong to the process here, once they have been sent."""
        if self._channel is None or not self._channel.backlog:
            while self._passed:
                self._passed.pop().close()

    def _send(self, message: Message, sockets: Sequence[socket.socket] = (), payload: bytes = b"") -> None:
        """Send a message to the process if it still runs."""
        if self._channel:
            with contextlib.suppress(channel.ChannelClosed):  # `on_exit` follows
                self._channel.send(message, payload, sockets)
                if self._channel.backlog:
                    asyncio.get_running_loop().add_writer(self._channel.fileno(), self._flush)

    def read(self) -> None:
        """Read the messages that have arrived, without waiting."""
        if self._channel is None:
            return
        try:
            for received in self._channel.receive():
                self.last_message_s = time.monotonic()
                self._handle(received)
        except channel.ChannelClosed as error:
            self._end_channel(self._channel, error)

    def signal(self, number: Signals) -> None:
        """Send a signal; without effect once the process has ended."""
        if self._process:
            self._process.send_signal(number)

    async def wait(self) -> None:
        """Return when the process has ended and `on_exit` has been called."""
        if self._task:
            await asyncio.wait([self._task])

    async def _supervise(self, process: subprocess.Popen[bytes], inode: int) -> None:
        """Wait for the end. `inode` is that of the process's end of the channel."""
        status = 1
        try:
            status = await self._exit_status(process)
        finally:
            try:
                self._clean_up(process.pid, inode)
                self._read_rest()
            finally:
                broken = self._channel_broken and status == WorkerExit.DONE
                self._on_exit(WorkerExit.CAN_ERROR if broken else status)

    def _clean_up(self, pid: int, inode: int) -> None:
        """End all processes that the process has left behind. Called when it has ended."""

    async def _exit_status(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of the process.

        Its channel usually ends with it, but a process that a driver has forked can keep the channel open: the
        end is looked for in any case. This needs no thread and no descriptor, both of which can be used up.
        """
        delay_s = _FIRST_EXIT_CHECK_S
        while (status := process.poll()) is None:
            if self._channel_ended.is_set():
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, _EXIT_CHECK_S)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_EXIT_CHECK_S):
                        await self._channel_ended.wait()
        return status

    def _read_rest(self) -> None:
        """Read the messages sent before the process ended, such as the clients that it handed over."""
        if self._channel:
            for received in self._channel.receive_rest():
                self._handle(received)
        if self._channel:
            self._end_channel(self._channel)

    def _handle(self, received: ReceivedMessage) -> None:
        try:
            self._on_message(received)
        except Exception:
            log.exception("a message of process %s could not be handled: %.200s", self.pid, received.message)

    def _end_channel(self, ours: Channel, error: channel.ChannelClosed | None = None) -> None:
        """Close the channel. The process ends when its channel does; if it does not, it sends no heartbeat any more."""
        if isinstance(error, channel.ChannelBroken):
            self._channel_broken = True
            self._handle(channel.ReceivedMessage(WorkerEnd(str(error)), b"", []))
        loop = asyncio.get_running_loop()
        loop.remove_reader(ours.fileno())
        loop.remove_writer(ours.fileno())
        ours.close()
        self._channel = None
        self._close_passed()
        self._channel_ended.set()

    def _flush(self) -> None:
        """Send the part that the socket did not take at once: unsent bytes of clients can be megabytes."""
        if self._channel is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_writer(self._channel.fileno())
        try:
            progress = self._channel.flush()
        except channel.ChannelBroken as error:
            self._end_channel(self._channel, error)
            return
        except channel.ChannelClosed:  # the messages before the end have yet to be read
            return
        self._close_passed()
        if self._channel.backlog and progress:
            loop.add_writer(self._channel.fileno(), self._flush)
        elif self._channel.backlog:  # the socket has room, but the kernel has no memory
            loop.call_later(_SEND_AGAIN_S, self._flush)


def _spawn(command: Sequence[str], descriptor: int, blocked: Collection[Signals]) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if key not in _PRIVATE_ENVIRONMENT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)  # a process inherits it
    try:
        return subprocess.Popen(
            [*command, "--channel", str(descriptor)],
            pass_fds=[descriptor], stdin=subprocess.DEVNULL, env=environment,
            process_group=0,  # signals from a terminal (Ctrl+C, Ctrl+Z) are for the supervisor alone
        )  # fmt: skip
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_fact(status: int) -> str:
    """Return how a process has ended that nobody here requested to end, as the end of a sentence about it."""
    if status < 0:
        return f"was ended by signal {-status} ({signal.strsignal(-status)})"
    if status == WorkerExit.DONE:
        return "was stopped by another program"
    return f"ended with status {status}; its trace is in the log"


_NOT_STARTED = {
    errno.EMFILE: "the daemon has used up its descriptors. Raise the limit of open files (LimitNOFILE=, ulimit -n)",
    errno.ENFILE: "the system has used up its descriptors. End other programs, or raise fs.file-max",
    errno.EAGAIN: "no further process is allowed. Raise the limit (TasksMax=, ulimit -u), or end other programs",
    errno.ENOMEM: "there is no memory left. End other programs, or raise the limit (MemoryMax=, ulimit -v)",
    errno.ENOENT: "its program is gone. Install cancorderd again, and restart it",
    errno.EACCES: "its program may not be executed. Correct the permissions, or install cancorderd again",
}
"""Fact and remedy by the error number of the system."""


def not_started_reason(
    error: Exception, who: str = "the worker", again: str = "It is tried again every 2 s."
) -> str:
    """Return the reason for `status` after `ChildProcess.spawn`, or its preparation, has raised `error`.

    `again` is for errors without a remedy.
    """
    number = errno.ENOMEM if isinstance(error, MemoryError) else getattr(error, "errno", None)
    if number in _NOT_STARTED:
        place = getattr(error, "filename", None)
        detail = f"{place}: {os.strerror(number)}" if place else os.strerror(number)
        return f"{who} cannot be started: {_NOT_STARTED[number]} ({detail})."
    if isinstance(error, OSError):
        return f"{who} cannot be started: {error}. {again}".rstrip()
    return (
        f"{who} cannot be started: {type(error).__name__}: {error}. Its trace is in the log; report this bug."
    )
