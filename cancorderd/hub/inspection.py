"""Whether a gateway could forward to a hub: each server of the hub, step by step, each result a sentence."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cancorderd.hub import jetstream, stream_plan, streams, subjects
from cancorderd.hub.connection import connect_to
from cancorderd.hub.failures import HubError, NoJetStream, Refused, Stage, StreamMissing
from cancorderd.hub.headers import LEAST_MESSAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from cancorderd.hub.access import HubAccess, ServerAddress
    from cancorderd.hub.connection import HubConnection

_TO_CONNECT = 0.8
"""Part of the time for the connection: only the attempt itself knows the step that it waits for."""
_OTHER_STREAM = 10060
"""JSStreamNotMatch, the answer to a publish that expects another stream: it was allowed, and stored nothing."""


@dataclass(frozen=True)
class Step:
    """Result of a stage: good, worth a look, or a failure that ends the trial."""

    stage: Stage
    sentence: str
    good: bool = True
    warning: bool = False


@dataclass
class Trial:
    """Results for one server."""

    server: ServerAddress
    steps: list[Step] = field(default_factory=list)
    refusal: HubError | None = None
    """The failure that ended the trial, if any."""

    @property
    def good(self) -> bool:
        return all(step.good for step in self.steps)


async def inspect(access: HubAccess, gateway: str, buses: Sequence[str], *, within_s: float) -> list[Trial]:
    """Try each server of a hub at once, for at most `within_s`."""
    trials = [Trial(server) for server in access.servers()]
    await asyncio.gather(*(_inspect(trial, access, gateway, buses, within_s) for trial in trials))
    return trials


async def _inspect(
    trial: Trial, access: HubAccess, gateway: str, buses: Sequence[str], within_s: float
) -> None:
    connection: HubConnection | None = None
    try:
        async with asyncio.timeout(within_s):
            try:
                connection = await connect_to(
                    trial.server, access, f"cancorderctl {gateway}", within_s=_TO_CONNECT * within_s
                )
                async for step in _steps(connection, gateway, buses):
                    trial.steps.append(step)
            except HubError as error:
                trial.refusal = error
                trial.steps.append(Step(error.stage, str(error), good=False))
    except TimeoutError:
        sentence = f"{trial.server}: no answer within {within_s:g} s. Check network and server."
        trial.steps.append(Step(_waiting_for(trial.steps), sentence, good=False))
    finally:
        if connection is not None:
            await connection.close()


def _waiting_for(steps: Sequence[Step]) -> Stage:
    """Return the stage of the request that gets no answer, behind these steps."""
    done = {step.stage for step in steps}
    if Stage.STREAM in done:
        return Stage.RIGHTS
    return Stage.JETSTREAM if Stage.SERVER in done else Stage.NETWORK


async def _steps(connection: HubConnection, gateway: str, buses: Sequence[str]) -> AsyncIterator[Step]:
    encrypted = "encrypted" if connection.encrypted else "not encrypted"
    yield Step(Stage.TLS, encrypted)
    for notice in connection.notices:
        yield Step(Stage.TLS, notice, warning=True)
    yield Step(
        Stage.LOGIN, f"logged in as {connection.user}" if connection.user else "logged in without user"
    )
    streams.require_recent(connection)
    yield Step(Stage.SERVER, f"nats-server {connection.version}, {connection.server_name}")
    if connection.max_payload < LEAST_MESSAGE:
        fact = f"max_payload is {connection.max_payload}, too small for batches"
        yield Step(Stage.SERVER, f"{fact}. Set it to at least {LEAST_MESSAGE}, or leave it out.", good=False)
        return
    name = subjects.stream_name(gateway)
    try:
        info = await jetstream.stream_info(connection, name)
    except StreamMissing as error:
        yield Step(Stage.JETSTREAM, "runs")
        yield Step(Stage.STREAM, str(error), good=False)
        return
    yield Step(Stage.JETSTREAM, "runs")
    yield _stream(connection, gateway, info)
    await jetstream.last_message(connection, name, subjects.all_subjects(gateway))
    for bus in buses:
        yield await _right(connection, gateway, bus)


def _stream(connection: HubConnection, gateway: str, info: jetstream.StreamInfo) -> Step:
    name, correct = info.name, f"Correct it: {jetstream.hub_init(connection.server, gateway)}"
    different = stream_plan.differences(info.config, stream_plan.stream_config(gateway, stream_plan.Limits()))
    if any(each.prevents for each in different):
        reasons = "; ".join(f"{each.key}: {each.reason}" for each in different if each.prevents)
        return Step(Stage.STREAM, f"{name}: {reasons}. {correct}", good=False)
    held = f"{name}: {_held(info.state)}"
    if different:
        reasons = "; ".join(f"{each.key}: {each.reason}" for each in different)
        return Step(Stage.STREAM, f"{held}; {reasons}. {correct}", warning=True)
    return Step(Stage.STREAM, f"{held}; {stream_plan.limits_text(info.config)}")


def _held(state: jetstream.StreamState) -> str:
    """Return the content of a stream in words. A hub that stores nothing, as with a full disk, shows by the time of the last."""
    if not state.messages:
        return "no messages yet"
    noun = "message" if state.messages == 1 else "messages"
    three_digits = round(state.bytes, 3 - len(str(state.bytes)))
    last = datetime.fromtimestamp(state.last_time_us // 1_000_000, UTC)
    return f"{state.messages} {noun}, {stream_plan.size_text(three_digits)}, the last of {last:%Y-%m-%d %H:%M:%S} UTC"


async def _right(connection: HubConnection, gateway: str, bus: str) -> Step:
    """Try to publish a message that the hub refuses to store, since it expects another stream."""
    subject = subjects.subject(gateway, bus)
    try:
        answer = await connection.request(subject, headers={"Nats-Expected-Stream": "cancorderctl-hub-check"})
    except Refused as error:
        return Step(Stage.RIGHTS, str(error), good=False)
    except NoJetStream:
        correct = jetstream.hub_init(connection.server, gateway)
        return Step(Stage.STREAM, f"no stream stores {subject}. Correct it: {correct}", good=False)
    try:
        code = json.loads(answer.data)["error"]["err_code"]
    except (ValueError, KeyError, TypeError):
        code = 0
    if code == _OTHER_STREAM:
        return Step(Stage.RIGHTS, f"may publish to {subject}")
    return Step(
        Stage.RIGHTS,
        f"{subject} is stored by something else than JetStream's stream. Check the hub.",
        good=False,
    )
