"""The supervisor process: puts the parts together, and lives from its start to SIGTERM.

SIGHUP reloads, as `cancorderctl reload` does; SIGTERM and SIGINT end everything in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import resource
import signal
import time
from typing import TYPE_CHECKING, Any

from cancorderd.config.load import ConfigurationError, load
from cancorderd.control.server import ControlServer, SocketInUse, listening_socket
from cancorderd.service import systemd
from cancorderd.service.status_line import status_line
from cancorderd.service.stored_ports import StoredPorts
from cancorderd.supervisor.changes import Kind
from cancorderd.supervisor.events import EventLog
from cancorderd.supervisor.manager import HEARTBEAT_CHECK_S
from cancorderd.supervisor.status import bus_status
from cancorderd.supervisor.supervision import Supervision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from cancorderd.config.model import Configuration
    from cancorderd.service.log import SummedUp
    from cancorderd.supervisor.bus import Bus
    from cancorderd.supervisor.manager import Manager

log = logging.getLogger("cancorderd")

_DESCRIPTORS = 65536
"""Of this process and of each worker, which inherits the limit."""
_EXTEND_EVERY_S = 1.0
_STATUS_DELAY_S = 0.1
"""Changes within this time make one message to the service manager."""


class Daemon:
    """One configuration in force, until it is told to end."""

    def __init__(self, configuration: Configuration, path: str | None, output: SummedUp) -> None:
        self._path = path
        self._output = output
        self._events = EventLog()
        self._service, descriptors = systemd.connect(os.environ)
        self._ports = StoredPorts(self._service, descriptors)
        self._supervision = Supervision(configuration, path, self._on_bus, keeper=self._ports)
        self.manager = self._supervision.manager
        self._control = ControlServer(self.manager, self._events, self.reload)
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._status_due: asyncio.TimerHandle | None = None

    async def run(self, ready: Callable[[Manager], None]) -> None:
        """Serve until SIGTERM. Calls `ready` once the configuration is in force.

        Raises SocketInUse or OSError where the control socket cannot be had; then nothing was started.
        """
        control_socket = listening_socket(self.manager.configuration.daemon.control_socket)
        self._take_signals()
        self._output.add(self._events)
        async with self._taking_time():
            self.manager.start()
            await self._control.start(control_socket)
        self._supervision.watch(self._checked, self._service.check_every_s(HEARTBEAT_CHECK_S))
        self._supervision.announce()
        gc.freeze()  # what start-up made stays: it need not be looked through again
        self._service.ready(self._status_line())
        ready(self.manager)
        try:
            await self._supervision.until_told()
        finally:
            log.info("stopping")
            self._service.stopping()
            self._ports.end()
            with contextlib.suppress(OSError):
                os.unlink(control_socket.getsockname())
            async with self._taking_time():
                await asyncio.gather(self._supervision.stop(), self._control.stop(), return_exceptions=True)
            control_socket.close()

    async def reload(self, dry_run: bool) -> dict[str, Any]:
        """Read the file anew: `{problems}` where it has any (nothing has changed), else `{changes, notes}`."""
        if self._path is None:
            return {"problems": ["The demo has no file to reload. Run cancorderd -c FILE instead."]}
        async with self._reloading:
            if dry_run:
                return await self._reload(dry_run)
            self._service.reloading()
            try:
                async with self._taking_time():
                    return await self._reload(dry_run)
            finally:
                self._service.ready(self._status_line())

    async def _reload(self, dry_run: bool) -> dict[str, Any]:
        assert self._path is not None  # noqa: S101 - `reload` has seen to it
        try:
            configuration = await asyncio.to_thread(load, self._path)
        except ConfigurationError as error:
            problems = [str(one) for one in error.problems]
            if not dry_run:
                log.warning("reload refused, nothing was changed:\n%s", "\n".join(problems))
            return {"problems": problems}
        notes = [
            f"daemon.{key} takes effect when the daemon is restarted"
            for key in self.manager.needs_restart(configuration)
        ]
        if dry_run:
            changes = self.manager.planned(configuration)
        else:
            log.setLevel(configuration.daemon.log_level.upper())
            changes = await self.manager.reload(configuration)
            differing = [one for one in changes if one.kind != Kind.UNCHANGED]
            log.info("reloaded: %s", ", ".join(f"{one.bus} {one.kind}" for one in differing) or "no change")
        return {"changes": [one._asdict() for one in changes], "notes": notes}

    @contextlib.asynccontextmanager
    async def _taking_time(self) -> AsyncIterator[None]:
        """While this lasts, the service manager hears that it is not stuck."""

        async def extend() -> None:
            while True:
                await asyncio.sleep(_EXTEND_EVERY_S)
                self._service.extend(time.monotonic() - begin_s)

        begin_s = time.monotonic()
        self._service.extend(0.0)
        extending = asyncio.create_task(extend())
        try:
            yield
        finally:
            extending.cancel()

    def _checked(self, now_s: float) -> None:
        """Every worker was looked after, and this loop turns: the proof that the watchdog wants."""
        self._service.alive(now_s)
        self._output.tick(now_s)

    def _status_line(self) -> str:
        return status_line([bus_status(bus) for bus in self.manager.buses.values()])

    def _tell_status(self) -> None:
        self._status_due = None
        if not self._supervision.ending:
            self._service.status(self._status_line())

    def _take_signals(self) -> None:
        self._supervision.end_on(signal.SIGTERM, signal.SIGINT)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._spawn_task, self.reload, False)

    def _spawn_task(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        task = asyncio.create_task(function(*arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_bus(self, _bus: Bus) -> None:
        if self._status_due is None:
            self._status_due = asyncio.get_running_loop().call_later(_STATUS_DELAY_S, self._tell_status)


def run(
    configuration: Configuration, path: str | None, output: SummedUp, ready: Callable[[Manager], None]
) -> str | None:
    """Run the daemon; returns None after SIGTERM, or why it could not start."""
    # A client is a descriptor, and the usual soft limit of 1,024 is made for programs that use select().
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))

    async def live() -> None:
        await Daemon(configuration, path, output).run(ready)

    # A watchdog's SIGABRT is rare; a trace of what it met is worth having.
    faulthandler.enable()
    try:
        asyncio.run(live())
    except SocketInUse as error:
        return str(error)
    except PermissionError as error:
        return (
            f"{configuration.daemon.control_socket}: {error.strerror}. Run as a user who may write there, "
            "or set daemon.control_socket to a path of your own."
        )
    except OSError as error:
        return f"{configuration.daemon.control_socket}: {error.strerror or error}. Set daemon.control_socket."
    return None
