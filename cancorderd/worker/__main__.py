"""`python -P -m cancorderd.worker BUS --channel N`: the process that the supervisor starts for each bus.

BUS only shows in `ps`. N is the inherited descriptor of the channel to the supervisor.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys

from cancorderd.config import settings_json
from cancorderd.ipc.channel import Channel, ChannelBroken, ChannelClosed, ReceivedMessage
from cancorderd.ipc.exit_statuses import WorkerExit
from cancorderd.ipc.forks import end_forks
from cancorderd.ipc.messages import (
    BacklogShare,
    ClientHandover,
    FeedChange,
    NewListeners,
    WorkerEnd,
    WorkerStart,
)
from cancorderd.standard_error import STANDARD_ERROR, print_without_waiting
from cancorderd.worker.loop import WorkerLoop
from cancorderd.worker.supervisor_channel import SupervisorChannel

_USAGE = "usage: python -P -m cancorderd.worker BUS --channel DESCRIPTOR"


def main(arguments: list[str]) -> int:
    # If a worker hangs, SIGABRT comes before SIGKILL and leaves a traceback.
    print_without_waiting()
    faulthandler.enable(STANDARD_ERROR)
    match arguments:
        case [_bus, "--channel", descriptor]:
            return serve(int(descriptor))
    print(_USAGE, file=sys.stderr)
    return 2


def serve(descriptor: int) -> int:
    """Serve the bus that the supervisor's first messages describe; returns the exit status.

    If the channel closes before these messages, there is nothing to do.
    """
    # A terminal sends these signals to the whole group; the supervisor decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sock = socket.socket(fileno=descriptor)
    channel = Channel(sock)
    os.register_at_fork(after_in_child=channel.close)
    try:
        first, *others = _first_messages(sock, channel)
    except ChannelBroken as error:
        SupervisorChannel(channel).end(WorkerEnd(str(error)))
        return WorkerExit.CAN_ERROR
    except ChannelClosed:
        return WorkerExit.DONE
    start = _expect_start(first)
    settings = settings_json.from_json(start.settings)
    feed = socket.socket(fileno=first.descriptors.pop()) if start.fed else None
    recorders = socket.socket(fileno=first.descriptors.pop()) if settings.recorded else None
    listeners = [
        socket.socket(fileno=listener)
        for received in (first, *others)
        if isinstance(received.message, WorkerStart | NewListeners)
        for listener in received.descriptors
    ]
    clients = [
        (received.message, socket.socket(fileno=received.descriptors[0]), received.payload)
        for received in others
        if isinstance(received.message, ClientHandover)
    ]
    for received in others:
        if isinstance(received.message, FeedChange):
            feed = socket.socket(fileno=received.descriptors[0]) if received.descriptors else None
    shares = [received.message.size for received in others if isinstance(received.message, BacklogShare)]
    others.clear()  # the unsent bytes belong to `clients` alone
    supervisor = SupervisorChannel(channel)
    inode = os.fstat(descriptor).st_ino
    loop = WorkerLoop(
        settings,
        supervisor,
        start.earlier,
        recorders,
        feed,
        backlog_share=[start.backlog_share, *shares][-1],
        earlier_latency=start.earlier_latency,
    )
    os.register_at_fork(after_in_child=loop.release)
    status = loop.run(listeners, clients)
    if supervisor.gone:  # it would do this itself
        end_forks(os.getpid(), inode)
    return status


def _first_messages(sock: socket.socket, channel: Channel) -> list[ReceivedMessage]:
    """Return the start message, the clients that it announces, and whatever has arrived with them."""
    received: list[ReceivedMessage] = []
    while not received or len(received) <= _expect_start(received[0]).clients:
        sock.setblocking(True)
        received += channel.receive()
    sock.setblocking(False)
    return received


def _expect_start(first: ReceivedMessage) -> WorkerStart:
    if not isinstance(first.message, WorkerStart):
        raise TypeError(f"the supervisor's first message is {first.message}")
    return first.message


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    # Not sys.exit: a driver's thread that hangs must not keep the process alive.
    os._exit(status)
