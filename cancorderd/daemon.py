"""The supervisor process: puts the parts together and runs them from start to SIGTERM.

SIGHUP reloads, as `cancorderctl reload` does; SIGTERM and SIGINT end everything in good order.
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
from typing import TYPE_CHECKING

from cancorderd.config.load_process import load_in_process
from cancorderd.config.problem import ConfigurationError
from cancorderd.control.control_socket import ControlSocket, SocketUnavailable
from cancorderd.control.server import ControlServer, verb_answer
from cancorderd.file_thread import FileThread, NoAnswer
from cancorderd.python_command import python_command
from cancorderd.service import systemd
from cancorderd.service.stored_listeners import StoredListeners
from cancorderd.standard_error import STANDARD_ERROR, non_waiting
from cancorderd.supervisor.changes import ChangeKind, table_change
from cancorderd.supervisor.event_log import EventLog
from cancorderd.supervisor.heartbeat import CHECK_EVERY_S
from cancorderd.supervisor.manager import Ending
from cancorderd.supervisor.side_policy import SidePolicy
from cancorderd.supervisor.side_process import SideProcess
from cancorderd.supervisor.status import bus_status
from cancorderd.supervisor.supervision import Supervision

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Sequence

    from cancorderd.config.configuration import Configuration
    from cancorderd.control.protocol import BusChange, ReloadAnswer
    from cancorderd.service.log import SummarizingHandler
    from cancorderd.service.systemd import ServiceManager
    from cancorderd.supervisor.bus import Bus
    from cancorderd.supervisor.changes import Change
    from cancorderd.supervisor.manager import Manager, Outcome

log = logging.getLogger("cancorderd")

_DESCRIPTORS = 65536
"""Limit for this process and for each worker, which inherits the limit."""
_END_WITHIN_S = 5.0
"""From SIGTERM to the end of the process; all workers have ended after 2 s if the kernel lets them."""
_EXTEND_EVERY_S = 1.0
_SOCKET_WITHIN_S = 5.0
"""Time after which the file system of the control socket is taken for one that does not answer."""
_SOCKET_REMOVED_WITHIN_S = 1.0
_SOCKET_CHECK_EVERY_S = 1.0
_AT_RESTART = "when the daemon is restarted"
_LATER = {
    "state_dir": f"at once for recordings in its default folder, and for remembered ports {_AT_RESTART}"
}
"""When keys that a reload does not put in force as a whole take effect."""
_WEB_UNIT = "CANCORDER_WEB_UNIT"
"""Environment variable with the unit that serves the page, as a user that may do less. The daemon starts none then."""
_WEB_POLICY = SidePolicy(decides_itself=True)
"""Its process asks for the settings itself, and notices their changes."""
_STATUS_DELAY_S = 0.1
"""Changes within this time are sent to the service manager together."""


class Daemon:
    """One configuration in force, from start to end. Create it in a running loop."""

    def __init__(
        self,
        configuration: Configuration,
        path: str | None,
        output: SummarizingHandler,
        service: ServiceManager,
        descriptors: Sequence[tuple[int, str]],
    ) -> None:
        """`descriptors` were passed by the service manager, with their names."""
        self._path = path
        self._output = output
        self._events = EventLog()
        self._service = service
        self._listeners = StoredListeners(service, descriptors)
        self._supervision = Supervision(configuration, path, self._on_change, keeper=self._listeners)
        self.manager = self._supervision.manager
        self._control = ControlServer(self.manager, self._events, self.reload)
        self._control_socket = ControlSocket(configuration.daemon.control_socket)
        if not os.environ.get(_WEB_UNIT):
            web = python_command("cancorderd.web", "--socket", configuration.daemon.control_socket)
            self.manager.web = SideProcess("web", web, _WEB_POLICY)
        self._socket_thread = FileThread()
        self._socket_watch: asyncio.Task[None] | None = None
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[ReloadAnswer]] = set()
        self._signalled: set[asyncio.Task[ReloadAnswer]] = set()
        """Requests of SIGHUP, each waiting for its reload."""
        self._status_timer: asyncio.TimerHandle | None = None
        self._trace = non_waiting(STANDARD_ERROR)
        """File descriptor for the trace of an end that takes too long."""

    async def run(self, ready: Callable[[Manager], None]) -> None:
        """Serve until SIGTERM. Calls `ready` once the configuration is in force.

        Raises SocketUnavailable if the control socket cannot be opened; nothing has started then.
        """
        control_socket = await self._open_control_socket()
        self._handle_signals()
        self._output.add_for_all(self._events)
        try:
            async with self._extended_timeout():
                self.manager.start()
                await self._control.start(control_socket)
            self._supervision.watch(self._on_checked, self._service.check_every_s(CHECK_EVERY_S))
            self._supervision.announce()
            self._run_web()
            self._socket_watch = asyncio.create_task(self._watch_control_socket())
            _keep_objects_of_the_start()
            self._service.ready(self._status_line())
            ready(self.manager)
            await self._supervision.wait_for_end()
        finally:
            await self._end()

    async def _end(self) -> None:
        """Stop everything, whether or not it has started completely."""
        log.info("stopping")
        self._supervision.request_end()
        self._service.stopping()
        # A library or a task that hangs cannot hold up the end, nor can whoever reads the trace.
        faulthandler.dump_traceback_later(_END_WITHIN_S, exit=True, file=self._trace)
        self._listeners.end()
        for reload in self._reloads:
            reload.cancel()
        if self._socket_watch:
            self._socket_watch.cancel()
        async with self._extended_timeout():
            await asyncio.gather(
                self._remove_control_socket(),
                self._supervision.stop(),
                self._stop_web(),
                self._control.stop(),
                return_exceptions=True,
            )

    async def reload(self, dry_run: bool) -> ReloadAnswer:
        """Read the file again and put it in force; with `dry_run`, only return the changes. Raises Ending."""
        if self._path is None:
            problem = "The demo has no file to reload. Run cancorderd -c FILE instead."
            return {"problems": [problem], "done": False}
        # A task of its own: a client that disconnects does not leave half a reload.
        work = self._planned(self._path) if dry_run else self._reload(self._path)
        task = asyncio.create_task(work, name="reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._supervision.ending:
                raise Ending from None
            raise

    async def _planned(self, path: str) -> ReloadAnswer:
        try:
            configuration = await load_in_process(path, in_force=self.manager.configuration)
        except ConfigurationError as error:
            return {"problems": _texts(error), "done": False}
        changes = self.manager.planned_changes(configuration)
        return self._answer(changes, self._notes(configuration), [])

    async def _reload(self, path: str) -> ReloadAnswer:
        async with self._reloading:
            self._service.reloading()
            try:
                async with self._extended_timeout():
                    return await self._put_in_force(path)
            finally:
                if not self._supervision.ending:
                    self._service.ready(self._status_line())

    async def _put_in_force(self, path: str) -> ReloadAnswer:
        try:
            configuration = await load_in_process(path, in_force=self.manager.configuration)
        except ConfigurationError as error:
            problems = _texts(error)
            log.warning("reload refused, nothing was changed:\n%s", "\n".join(problems))
            return {"problems": problems, "done": False}
        notes = self._notes(configuration)
        forwarding = [note for note in notes if note.startswith("[")]
        log.setLevel(configuration.daemon.log_level.upper())
        changes, undone = await self.manager.reload(configuration)
        self._run_web()
        effective = [change for change in changes if change.kind != ChangeKind.UNCHANGED]
        summary = [f"{change.bus} {change.kind}" for change in effective] + forwarding
        log.info("reloaded: %s", ", ".join(summary) or "no change")
        return self._answer(changes, notes, undone)

    def _run_web(self) -> None:
        """Let the page be served if the configuration in force wants it; its process notices changes by itself."""
        self._supervision.announce_page(self.manager.configuration.web)
        if self.manager.web and self.manager.configuration.web:
            self.manager.web.start()

    async def _stop_web(self) -> None:
        if self.manager.web:
            await self.manager.web.stop()

    def _notes(self, configuration: Configuration) -> list[str]:
        before = self.manager.configuration.forward
        forward = table_change("forward", before, configuration.forward)
        keys = self.manager.needs_restart(configuration)
        later = [f"daemon.{key} takes effect {_LATER.get(key, _AT_RESTART)}" for key in keys]
        return [forward, *later] if forward else later

    def _answer(self, changes: list[Change], notes: list[str], undone: list[Outcome]) -> ReloadAnswer:
        return {
            "changes": [_as_json(change) for change in changes],
            "notes": notes,
            "done": not undone,
            "undone": [verb_answer(outcome) for outcome in undone],
        }

    @contextlib.asynccontextmanager
    async def _extended_timeout(self) -> AsyncIterator[None]:
        """Ask the service manager for more time as long as the body runs."""

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

    def _on_checked(self, now_s: float) -> None:
        """Feed the watchdog: every worker was checked, and this event loop runs."""
        self._service.alive(now_s)
        self._output.tick(now_s)

    async def _open_control_socket(self) -> socket.socket:
        try:
            return await self._socket_thread.submit(self._control_socket.open).answer(_SOCKET_WITHIN_S)
        except NoAnswer:
            fact = f"{self._control_socket.path}: the file system does not answer"
            raise SocketUnavailable(f"{fact}. Set daemon.control_socket to another path.") from None
        except OSError as error:
            raise SocketUnavailable(f"the control socket cannot be opened: {error.strerror}.") from error

    async def _watch_control_socket(self) -> None:
        """Open the control socket again whenever it was removed from its path."""
        problem = ""
        while True:
            await asyncio.sleep(_SOCKET_CHECK_EVERY_S)
            try:
                sock = await self._restored_control_socket()
            except SocketUnavailable as error:
                if str(error) != problem:
                    problem = str(error)
                    log.warning("the control socket was removed and cannot be opened again: %s", error)
                continue
            except OSError:  # no thread is allowed at present
                continue
            problem = ""
            if sock:
                log.warning("the control socket was removed by another program; it is open again")
                await self._control.listen(sock)

    async def _restored_control_socket(self) -> socket.socket | None:
        """Return a new listening socket if the path is no longer ours, else None. Raises SocketUnavailable or OSError."""
        look = self._socket_thread.submit(self._control_socket.restored)
        try:
            return await look.answer(_SOCKET_WITHIN_S)
        except NoAnswer:
            if look.withdraw():  # no thread could begin it
                return None
            log.warning(
                "%s: the file system does not answer. Buses are not affected; cancorderctl may not reach the daemon.",
                self._control_socket.path,
            )
            return await look.answer(within_s=None)

    async def _remove_control_socket(self) -> None:
        with contextlib.suppress(NoAnswer, OSError):
            await self._socket_thread.submit(self._control_socket.remove).answer(_SOCKET_REMOVED_WITHIN_S)

    def _status_line(self) -> str:
        return systemd.status_line([bus_status(bus) for bus in self.manager.buses.values()])

    def _send_status(self) -> None:
        self._status_timer = None
        if not self._supervision.ending:
            self._service.status(self._status_line())

    def _handle_signals(self) -> None:
        self._supervision.end_on(signal.SIGTERM, signal.SIGINT)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._spawn_reload)
        # The command blocks it as long as it would end the process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _spawn_reload(self) -> None:
        """Reload on SIGHUP; the log has the result."""
        task = asyncio.create_task(self.reload(dry_run=False))
        self._signalled.add(task)
        task.add_done_callback(self._on_signalled_reload)

    def _on_signalled_reload(self, task: asyncio.Task[ReloadAnswer]) -> None:
        self._signalled.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, Ending):
            log.error("the reload failed", exc_info=error)

    def _on_change(self, _bus: Bus) -> None:
        if self._status_timer is None:
            self._status_timer = asyncio.get_running_loop().call_later(_STATUS_DELAY_S, self._send_status)


def _keep_objects_of_the_start() -> None:
    """Let the garbage collector visit none of the objects that are there now.

    It collects everything when a quarter of the objects are new, and counts them when it does so: without another
    collection it would wait for a quarter of all frozen objects, and garbage would use megabytes.
    """
    gc.freeze()
    gc.collect()


def _texts(error: ConfigurationError) -> list[str]:
    return [str(problem) for problem in error.problems]


def _as_json(change: Change) -> BusChange:
    return {"bus": change.bus, "kind": change.kind.value, "keys": change.keys}


def run(
    configuration: Configuration,
    path: str | None,
    output: SummarizingHandler,
    ready: Callable[[Manager], None],
) -> str | None:
    """Run the daemon; returns None after SIGTERM, or the reason why it could not start."""
    service, descriptors = systemd.connect(os.environ)
    # Each client is a descriptor, and the usual soft limit of 1,024 is meant for programs that use select().
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))

    async def live() -> None:
        await Daemon(configuration, path, output, service, descriptors).run(ready)

    # A watchdog's SIGABRT is rare; a trace of the place where the daemon hung is worth having.
    faulthandler.enable(STANDARD_ERROR)
    try:
        asyncio.run(live())
    except SocketUnavailable as error:
        return str(error)
    return None
