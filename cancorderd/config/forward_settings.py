"""Settings of forwarding: the table [forward]. Pure; see `schema` for the rules.

Files that it names are looked at by `secret_files`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cancorderd.config import value_checks
from cancorderd.config.mistake import Mistake
from cancorderd.config.schema import (
    MEGABYTES,
    MILLISECONDS,
    TIME,
    AbsolutePath,
    Checked,
    Key,
    Listed,
    Settings,
)
from cancorderd.hub.access import HubAccess

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "forward"
"""Name of the folder of spools in [daemon] state_dir; each gateway has one in it."""

ServerUrl = Annotated[str, Checked(value_checks.server_url)]
GatewayName = Annotated[str, Checked(value_checks.gateway_name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardSettings(Settings):
    """Hub to which the frames of all buses are forwarded, and limits of the spool for outages."""

    url: Annotated[
        Listed[ServerUrl],
        Key("Servers of the hub, of which one is used: tls://HOST or nats://HOST, with :PORT if it is not 4222.",
            example=["tls://hub.example.net"]),
    ]  # fmt: skip
    gateway: Annotated[
        GatewayName | None,
        Key("Name of this gateway at the hub: letters, digits, _ and -; by default the host's name and 8 hexadecimal digits.",
            example="truck-17"),
    ] = None  # fmt: skip
    credentials: Annotated[
        AbsolutePath | None,
        Key("File with the credentials of a user (.creds), in place of user and password_file.",
            example="/etc/cancorder/hub.creds"),
    ] = None  # fmt: skip
    user: Annotated[str | None, Key("User at the hub.", min_length=1, example="truck-17")] = None
    password_file: Annotated[
        AbsolutePath | None,
        Key("File that holds the user's password and nothing else; others may not read it.",
            example="/etc/cancorder/hub.password"),
    ] = None  # fmt: skip
    ca: Annotated[
        AbsolutePath | None,
        Key("File with the certificates of authorities that the servers' certificates may come from; by default those of "
            "the system.", example="/etc/cancorder/hub-ca.pem"),
    ] = None  # fmt: skip
    certificate: Annotated[
        AbsolutePath | None,
        Key(
            "File with this gateway's certificate, if the servers ask for one.",
            example="/etc/cancorder/gateway.pem",
        ),
    ] = None
    key: Annotated[
        AbsolutePath | None,
        Key(
            "File with the key of this certificate; others may not read it.",
            example="/etc/cancorder/gateway.key",
        ),
    ] = None
    spool_mb: Annotated[
        int,
        Key("Size of the spool for outages in state_dir, in millions of bytes; beyond, the oldest frames are dropped. 0: no "
            "spool on the disk.", MEGABYTES, ge=0, le=1_000_000),
    ] = 1024  # fmt: skip
    flush_ms: Annotated[
        int,
        Key("Time for which frames gather before they are sent; a larger one needs less disk, uplink and processor time.",
            MILLISECONDS, ge=1, le=10_000),
    ] = 10  # fmt: skip
    compress: Annotated[
        Literal["auto", "never"], Key("auto: bodies above 256 bytes are compressed (zlib); or never.")
    ] = "auto"
    keep_acked_mb: Annotated[
        int,
        Key("Memory for the last frames that the hub has acknowledged, in millions of bytes for all buses. A hub that loses "
            "them in a power cut gets them again; 0 suffices with sync_interval: always.", MEGABYTES, ge=0, le=1000),
    ] = 12  # fmt: skip
    ram_s: Annotated[
        float,
        Key("Time after which frames that are not acknowledged are written to the disk; a power cut here costs at most these "
            "frames and those of one second.", TIME, ge=1, le=60),
    ] = 5.0  # fmt: skip

    @property
    def access(self) -> HubAccess:
        return HubAccess(
            self.url, self.credentials, self.user, self.password_file, self.ca, self.certificate, self.key
        )

    def mistakes(self) -> Iterator[Mistake]:
        for key, sentence in self.access.mistakes():
            fact, _, remedy = sentence.partition(". ")
            yield Mistake(fact, remedy, key, tuple({"url", "credentials", "user", "password_file"} - {key}))
