"""Rights at a hub in a box: a gateway reaches its own stream only, a viewer writes nothing. Tried with the real server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from cancorderd.hub import direct_get, failures, jetstream, stream_plan
from cancorderd.hub.connection import HubConnection, open_connection
from tests.support.harness import PATIENCE_S
from tests.support.hub_box import HubBox
from tests.support.nats_server import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")

LIMITS = stream_plan.Limits(max_bytes=1_000_000_000)
FORBIDDEN = [
    "can.truck-18.body",
    "can.truck-18.body.more",
    "stored.truck-18.body",
    "$JS.API.STREAM.INFO.CAN_truck-18",
    "$JS.API.STREAM.MSG.GET.CAN_truck-18",
    "$JS.API.DIRECT.GET.CAN_truck-18",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    *(
        f"$JS.API.{request}.{stream}"
        for stream in ("CAN_truck-17", "CAN_truck-18")
        for request in (
            "STREAM.CREATE",
            "STREAM.UPDATE",
            "STREAM.DELETE",
            "STREAM.PURGE",
            "STREAM.MSG.DELETE",
            "STREAM.SNAPSHOT",
            "STREAM.RESTORE",
            "CONSUMER.CREATE",
            "CONSUMER.LIST",
            "CONSUMER.DURABLE.CREATE",
        )
    ),
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.HUB.CONNZ",
]
GATEWAYS_REQUESTS = [
    "$JS.API.STREAM.INFO.CAN_truck-17",
    "$JS.API.STREAM.MSG.GET.CAN_truck-17",
    "can.truck-17.body",
]
VIEWERS_REQUESTS = [
    "$JS.API.DIRECT.GET.CAN_truck-17",
    "$JS.API.STREAM.INFO.CAN_truck-17",
    "$JS.API.STREAM.NAMES",
]
VICTIMS = ["can.truck-18.body", "$JS.API.STREAM.PURGE.CAN_truck-18", "$JS.API.STREAM.DELETE.CAN_truck-18"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubBox]:
    server = HubBox(tmp_path_factory.mktemp("hub"))
    server.box.add_gateway("truck-17")
    server.box.add_gateway("truck-18")
    server.box.add_viewer("viewer")
    with server:
        asyncio.run(filled(server))
        yield server


async def filled(hub: HubBox) -> None:
    admin = await open_connection(hub.access(), "test")
    for gateway in ("truck-17", "truck-18"):
        await jetstream.create_stream(admin, stream_plan.stream_config(gateway, LIMITS))
        await publish(admin, f"can.{gateway}.body", b"first")
    await admin.close()


async def publish(connection: HubConnection, subject: str, body: bytes) -> dict[str, object]:
    return dict(json.loads((await connection.request(subject, body)).data))


async def other_stream(hub: HubBox) -> jetstream.StreamState:
    """State of the stream that neither truck-17 nor the viewer may change."""
    admin = await open_connection(hub.access(), "test")
    state = (await jetstream.stream_info(admin, "CAN_truck-18")).state
    await admin.close()
    return state


def test_gateway_writes_and_reads_its_own_stream(hub: HubBox) -> None:
    async def tried() -> None:
        truck = await open_connection(hub.access("truck-17"), "test")
        before = await jetstream.stream_info(truck, "CAN_truck-17")
        answer = await publish(truck, "can.truck-17.body", b"second")
        assert answer["seq"] == before.state.last_sequence + 1
        last = await jetstream.last_message(truck, "CAN_truck-17", "can.truck-17.*")
        assert last
        assert last.body == b"second"
        guarded = await truck.client.request(
            "can.truck-17.body", b"", timeout=10,
            headers={"Nats-Expected-Stream": "CAN_truck-17", "Nats-Expected-Last-Sequence": "9999"},
        )  # fmt: skip
        assert json.loads(guarded.data)["error"]["err_code"] == jetstream.WRONG_LAST_SEQUENCE
        await truck.close()

    asyncio.run(tried())


@pytest.mark.parametrize("user", ["truck-17", "viewer"])
def test_other_subjects_are_refused(hub: HubBox, user: str) -> None:
    async def tried() -> None:
        connection = await open_connection(hub.access(user), "test")
        own = VIEWERS_REQUESTS if user == "viewer" else GATEWAYS_REQUESTS
        allowed = [*own, "$JS.API.DIRECT.GET.CAN_truck-18", "$JS.API.STREAM.INFO.CAN_truck-18"]
        for subject in FORBIDDEN:
            if subject in (allowed if user == "viewer" else own):
                continue
            with pytest.raises(failures.Refused):
                await connection.request(subject, b"{}", within_s=30)
        if user == "viewer":
            with pytest.raises(
                failures.Refused, match=r"viewer has no right to publish to can\.truck-17\.body"
            ):
                await connection.request("can.truck-17.body", b"x", within_s=30)
        await connection.close()

    before = asyncio.run(other_stream(hub))
    asyncio.run(tried())
    assert asyncio.run(other_stream(hub)) == before


@pytest.mark.parametrize(
    ("user", "requests"), [("truck-17", GATEWAYS_REQUESTS), ("viewer", VIEWERS_REQUESTS)]
)
def test_no_answer_goes_into_another_stream(hub: HubBox, user: str, requests: list[str]) -> None:
    """The reply subject of a request is chosen by the user, and no right is needed for it."""

    async def tried() -> None:
        connection = await open_connection(hub.access(user), "test")
        for victim in VICTIMS:
            for subject in requests:
                await connection.client.publish(subject, b'{"seq":1}', reply=victim)
        # The answer to a later request comes after those.
        await jetstream.stream_info(connection, "CAN_truck-17")
        await connection.close()

    before = asyncio.run(other_stream(hub))
    assert before.messages == 1
    asyncio.run(tried())
    assert asyncio.run(other_stream(hub)) == before


@pytest.mark.parametrize("user", ["truck-17", "viewer"])
@pytest.mark.parametrize(
    "subject",
    ["_INBOX.>", "_INBOX_truck-18.>", "_INBOX_admin.>", "$JS.>", "hub.>", "stored.>", ">", "$SYS.>"],
)
def test_answers_to_others_cannot_be_read(hub: HubBox, user: str, subject: str) -> None:
    async def tried() -> None:
        connection = await open_connection(hub.access(user), "test")
        await connection.client.subscribe(subject)
        async with asyncio.timeout(PATIENCE_S):
            while connection.last_refusal is None:  # noqa: ASYNC110 - nats-py reports it by a call
                await asyncio.sleep(0.01)
        assert "no right to subscribe" in str(connection.last_refusal)
        await connection.close()

    asyncio.run(tried())


def test_viewer_reads_and_is_woken(hub: HubBox) -> None:
    async def tried() -> None:
        viewer = await open_connection(hub.access("viewer"), "test")
        woken = await viewer.client.subscribe("can.truck-17.body")
        # The hub has the subscription when it answers a later request.
        await jetstream.stream_names(viewer)
        truck = await open_connection(hub.access("truck-17"), "test")
        await publish(truck, "can.truck-17.body", b"new")
        assert (await woken.next_msg(timeout=PATIENCE_S)).subject == "can.truck-17.body"
        assert sorted(await jetstream.stream_names(viewer)) == ["CAN_truck-17", "CAN_truck-18"]
        batch = await direct_get.read_batch(viewer, "CAN_truck-17", "can.truck-17.body")
        assert batch.messages[0].body == b"first"
        assert batch.messages[-1].body == b"new"
        with pytest.raises(failures.StreamMissing):
            await jetstream.stream_info(viewer, "CAN_none")
        with pytest.raises(failures.StreamMissing):
            await direct_get.read_batch(viewer, "CAN_none", "can.none.body")
        await viewer.close()
        await truck.close()

    asyncio.run(tried())


def test_user_who_was_taken_away_is_refused(hub: HubBox) -> None:
    hub.box.add_gateway("truck-19")
    hub.reload()

    async def tried() -> None:
        truck = await open_connection(hub.access("truck-19"), "test")
        access = hub.access("truck-19")
        password = (hub.box.folder / "truck-19.password").read_text()
        hub.box.remove("truck-19")
        hub.reload()
        assert isinstance(await truck.wait_closed(), failures.HubError)
        await truck.close()
        (hub.box.folder / "truck-19.password").write_text(password)
        (hub.box.folder / "truck-19.password").chmod(0o600)
        with pytest.raises(failures.LoginRefused):
            await open_connection(access, "test")

    asyncio.run(tried())
    assert hub.box.names() == {"truck-17": "GATEWAY", "truck-18": "GATEWAY", "viewer": "VIEWER"}
