"""`python -P -m cancorderd.forwarder NAME --channel N`: the process that forwards the frames of all buses to a hub.

NAME only shows in `ps`. N is the inherited descriptor of the channel to the supervisor. Its first message is
`ForwarderStart`; streams of buses follow. `EndRequest`, or the end of the channel, ends it in order: what the hub has not
acknowledged is written to the disk.

systemd sends SIGTERM to all processes of a service at once, while the workers still deliver their last frames. It
therefore ends this process only if nothing else does within a moment.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib
import json
import signal
import socket
import sys
from typing import TYPE_CHECKING

from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.config.settings_json import rebuilt
from cancorderd.forwarder.held_selector import HeldSelector
from cancorderd.hub.failures import LibraryMissing
from cancorderd.ipc.channel import Channel, ChannelClosed
from cancorderd.ipc.exit_statuses import WorkerExit
from cancorderd.ipc.messages import EndRequest, ForwarderStart, GatewayLosses, NewFeed, WorkerEnd
from cancorderd.standard_error import STANDARD_ERROR, print_without_waiting

if TYPE_CHECKING:
    from cancorderd.forwarder.forwarder import Forwarder
    from cancorderd.ipc.channel import ReceivedMessage
    from cancorderd.ipc.messages import Message

_TERMINATED_S = 2.5
"""From SIGTERM to the end, if the supervisor does not ask for it. By then it has ended the workers (`state_machine.Policy`)."""
_USAGE = "usage: python -P -m cancorderd.forwarder NAME --channel DESCRIPTOR"


class _Supervisor:
    """The channel to the supervisor, in the event loop. Messages are dropped if it does not read."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._open = True

    def send(self, message: Message) -> None:
        if not self._open:
            return
        try:
            if self._channel.backlog:
                self._channel.flush()
            if not self._channel.backlog:
                self._channel.send(message)
        except ChannelClosed:
            self._open = False

    def serve(self, forwarder: Forwarder, first: list[ReceivedMessage]) -> None:
        """Pass the supervisor's messages to the forwarder from now on."""

        def read() -> None:
            try:
                received = self._channel.receive()
            except ChannelClosed:
                self._open = False
                asyncio.get_running_loop().remove_reader(self._channel.fileno())
                forwarder.request_end(orphaned=True)
                return
            take(received)

        def take(received: list[ReceivedMessage]) -> None:
            for message, _, descriptors in received:
                match message:
                    case NewFeed():
                        forwarder.add_feed(message, socket.socket(fileno=descriptors[0]))
                    case GatewayLosses():
                        forwarder.take_losses(message)
                    case EndRequest():
                        forwarder.request_end()

        asyncio.get_running_loop().add_reader(self._channel.fileno(), read)
        take(first)


def main(arguments: list[str]) -> int:
    print_without_waiting()
    faulthandler.enable(STANDARD_ERROR)
    match arguments:
        case [_name, "--channel", descriptor]:
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            # The supervisor has blocked it, since it would have ended this process before it was ignored.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            return serve(int(descriptor))
    print(_USAGE, file=sys.stderr)
    return 2


def serve(descriptor: int) -> int:
    sock = socket.socket(fileno=descriptor)
    channel = Channel(sock)
    received: list[ReceivedMessage] = []
    try:
        while not received:
            sock.setblocking(True)
            received += channel.receive()
    except ChannelClosed:
        return WorkerExit.DONE
    sock.setblocking(False)
    start = received.pop(0).message
    if not isinstance(start, ForwarderStart):
        raise TypeError(f"the supervisor's first message is {start}")
    try:
        importlib.import_module("cancorderd.hub.connection")  # it says so if nats-py is missing
        from cancorderd.forwarder.forwarder import Forwarder  # noqa: PLC0415 - as above
    except LibraryMissing as error:
        channel.send(WorkerEnd(str(error)))
        channel.flush_within(1.0)
        return WorkerExit.REFUSED
    settings = rebuilt(ForwardSettings, json.loads(start.settings))

    selector = HeldSelector()

    def hold(held: bool) -> None:
        selector.held = held

    async def live() -> None:
        supervisor = _Supervisor(channel)
        forwarder = Forwarder(settings, start.gateway, start.folder, supervisor.send, hold)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: loop.call_later(_TERMINATED_S, forwarder.request_end))
        supervisor.serve(forwarder, received)
        gc.freeze()
        await forwarder.run()

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(live())
    return WorkerExit.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
