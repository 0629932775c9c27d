"""`GET /v1/buses/NAME/frames`: the connection goes to the bus's worker, and no byte passes the supervisor."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from cancorderd.control import protocol
from cancorderd.control.client import ControlClient, ControlError
from cancorderd.ipc.messages import MOST_READERS
from cancorderd.supervisor.state_machine import Event, State
from tests.unit.control.test_server import serving
from tests.unit.supervisor.fakes import FakeWorker, in_event_loop, until

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = protocol.frames_path("body")


@in_event_loop
async def test_worker_gets_the_connection_behind_the_head_of_the_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        rig.manager.start()
        bus = rig.manager.buses["body"]
        await until(lambda: bus.state == State.RUNNING)
        reading = asyncio.create_task(asyncio.to_thread(ControlClient(rig.path).frames, "body"))
        worker = bus._worker.process
        assert isinstance(worker, FakeWorker)
        await until(lambda: worker.readers)
        (reader,) = worker.readers
        assert (reader.handover.tap, reader.handover.internal) == (True, True)
        await asyncio.sleep(0)
        assert bus.readers == 1
        reader.socket.sendall(reader.unsent + b"packets")
        reader.socket.close()
        sock = await reading
        sock.setblocking(True)
        assert await asyncio.to_thread(sock.recv, 7, socket.MSG_WAITALL) == b"packets"
        assert await asyncio.to_thread(sock.recv, 1) == b"", "the supervisor has no copy of the connection"
        sock.close()
        status, _ = await rig.request("GET", protocol.STATUS)
        assert status == 200


@in_event_loop
async def test_bus_without_frames_or_without_room_is_refused_in_words(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        rig.manager.start()
        bus = rig.manager.buses["body"]
        await until(lambda: bus.state == State.RUNNING)
        status, answer = await rig.request("GET", protocol.frames_path("nowhere"))
        assert (status, answer) == (404, {"error": "there is no bus nowhere. Buses: body."})
        connections = [await rig.connect("GET", FRAMES) for _ in range(MOST_READERS)]
        await until(lambda: bus.readers == MOST_READERS)
        status, answer = await rig.request("GET", FRAMES)
        assert status == 409
        assert answer["error"] == "body has 8 readers, as many as it serves. End one of them."
        worker = bus._worker.process
        assert isinstance(worker, FakeWorker)
        await rig.manager.control("body", Event.STOP)
        with pytest.raises(ControlError, match=r"body is stopped\. Start it: cancorderctl start body"):
            await asyncio.to_thread(ControlClient(rig.path).frames, "body")
        assert (await rig.request("POST", FRAMES))[0] in (404, 405)
        for reader in worker.readers:
            reader.socket.close()
        for _, writer in connections:
            writer.close()
