"""Settings of a bus that is viewed at a hub. Pure; see `config.schema` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cancorderd.adapters.nats.moments import MomentError, span_of
from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.mistake import Mistake
from cancorderd.config.problem import written
from cancorderd.config.schema import Key, Listed
from cancorderd.hub import subjects
from cancorderd.hub.access import HubAccess

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "letters, digits, _ and -"


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsSettings(BusSettings):
    """A bus of a gateway that forwards to a hub (NATS JetStream), near or far, live or from a moment in the past."""

    interface: Annotated[Literal["nats"], Key("A bus of another gateway, at a hub (NATS JetStream).")]
    channel: Annotated[
        str | None,
        Key(
            "Any text; it is only shown to clients. By default GATEWAY/BUS.",
            min_length=1, example="truck-17/powertrain",
        ),
    ] = None  # fmt: skip
    url: Annotated[
        Listed[str],
        Key("Servers of the hub, tried in turn: tls://HOST:PORT, or nats:// in a closed network.",
            min_length=1, example=["tls://hub.example.net:4222"]),
    ]  # fmt: skip
    gateway: Annotated[
        str, Key(f"Name of the gateway that forwards the bus: {_NAME}.", min_length=1, example="truck-17")
    ]
    bus: Annotated[str, Key("Name of the bus at that gateway.", min_length=1, example="powertrain")]
    from_: Annotated[
        str,
        Key(
            'Where to begin: "now", "all" that the hub holds, or the first time stamp of a frame as "2026-11-25T10:00:00Z". '
            "The past begins with the first client, or at once if the bus is recorded.",
            example="2026-11-25T10:00:00Z",
        ),
    ] = "now"
    to: Annotated[
        str | None,
        Key(
            'Last time stamp of a frame, as "2026-11-25T11:00:00Z"; by default the bus goes on with new frames.',
            example="2026-11-25T11:00:00Z",
        ),
    ] = None
    credentials: Annotated[
        str | None,
        Key(
            "File with the user's credentials (.creds).",
            example="/etc/cancorder/hub.creds",
            relative_path=True,
        ),
    ] = None
    user: Annotated[str | None, Key("User, in place of credentials.", min_length=1, example="viewer")] = None
    password_file: Annotated[
        str | None,
        Key(
            "File that holds the user's password.", example="/etc/cancorder/hub.password", relative_path=True
        ),
    ] = None
    ca: Annotated[
        str | None,
        Key(
            "File with the certificates that vouch for the hub, by default those of the system.",
            example="/etc/cancorder/hub-ca.pem", relative_path=True,
        ),
    ] = None  # fmt: skip
    certificate: Annotated[
        str | None,
        Key(
            "File with the certificate of this client, if the hub asks for one.",
            example="/etc/cancorder/client.pem", relative_path=True,
        ),
    ] = None  # fmt: skip
    key: Annotated[
        str | None,
        Key(
            "File with the key of this certificate.", example="/etc/cancorder/client.key", relative_path=True
        ),
    ] = None

    def mistakes(self) -> Iterator[Mistake]:
        yield from BusSettings.mistakes(self)
        if not subjects.is_gateway_name(self.gateway):
            yield Mistake(f"{written(self.gateway)} is no name of a gateway", f"Use {_NAME} only.", "gateway")
        elif subjects.parsed_subject(subjects.subject(self.gateway, self.bus)) is None:
            yield Mistake(f"{written(self.bus)} is no name of a bus", f"Use {_NAME} only, at most 32.", "bus")
        try:
            span_of(self.from_, self.to)
        except MomentError as error:
            yield Mistake(error.fact, error.remedy, error.key)
        for mistake in self.access.mistakes():
            fact, _, remedy = mistake.sentence.partition(". ")
            yield Mistake(f"it {fact}", remedy, mistake.key)

    def __post_init__(self) -> None:
        """Raise the first of `mistakes`; show the gateway and its bus as the channel."""
        BusSettings.__post_init__(self)
        if self.channel is None:
            object.__setattr__(self, "channel", f"{self.gateway}/{self.bus}")

    @property
    def access(self) -> HubAccess:
        """How to reach the hub and log in."""
        return HubAccess(
            self.url, self.credentials, self.user, self.password_file, self.ca, self.certificate, self.key
        )

    @property
    def adapter_name(self) -> None:
        return None

    @property
    def adapter_identity(self) -> None:
        return None
