"""Settings of the page for browsers: the table [web]. Pure; see `schema` for the rules."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cancorderd.config import value_checks
from cancorderd.config.mistake import Mistake
from cancorderd.config.schema import (
    AbsolutePath,
    Addresses,
    Checked,
    Key,
    Listed,
    Network,
    Quantity,
    Settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_PORT = 8642
HostName = Annotated[str, Checked(value_checks.host_name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings(Settings):
    """The page, the metrics, and who may read them."""

    listen: Annotated[
        Addresses,
        Key(
            "IP addresses on which browsers can connect, by default this machine alone.",
            example=["127.0.0.1"],
        ),
    ] = ("127.0.0.1",)
    port: Annotated[
        int, Key("TCP port for browsers.", Quantity("a port"), ge=1, le=65535, example=DEFAULT_PORT)
    ] = DEFAULT_PORT
    allow: Annotated[
        Listed[Network],
        Key(
            "Networks from which browsers may connect; an empty list allows all.", example=["192.168.1.0/24"]
        ),
    ] = ()
    hosts: Annotated[
        Listed[HostName],
        Key(
            "Further names of this machine in addresses of browsers. IP addresses, localhost and the name of the "
            "machine, also with .local, are accepted in any case.",
            example=["bench.example.com"],
        ),
    ] = ()
    certificate: Annotated[
        AbsolutePath | None,
        Key("Certificate chain for TLS (PEM); needs key.", example="/etc/cancorder/web.crt"),
    ] = None
    key: Annotated[
        AbsolutePath | None, Key("Private key of the certificate (PEM).", example="/etc/cancorder/web.key")
    ] = None
    password_file: Annotated[
        AbsolutePath | None,
        Key(
            "File that cancorderctl web password wrote: browsers have to give this password. Beyond this machine, it "
            "needs certificate and key.",
            example="/etc/cancorder/web.password",
        ),
    ] = None
    token_file: Annotated[
        AbsolutePath | None,
        Key(
            "File with a token of at least 16 characters, with which programs read /metrics, /healthz and /v1 "
            "(Authorization: Bearer) in place of the password.",
            example="/etc/cancorder/web.token",
        ),
    ] = None
    control: Annotated[
        bool,
        Key(
            "true: the page can start, stop and restart buses and reload the file. It needs password_file, and beyond "
            "this machine certificate and key.",
        ),
    ] = False

    def mistakes(self) -> Iterator[Mistake]:
        if (self.certificate is None) != (self.key is None):
            given, missing = ("certificate", "key") if self.certificate else ("key", "certificate")
            yield Mistake(f"{given} is set without {missing}", f"Write {missing}, too.", given, (missing,))
        if self.password_file and not self.tls and not self.local:
            fact = "the password would cross the network in clear"
            remedy = 'Write certificate and key, or listen = ["127.0.0.1"].'
            yield Mistake(fact, remedy, "password_file", ("listen", "certificate", "key"))
        if self.token_file and not self.password_file:
            fact = "a token stands in place of the password, and there is none"
            yield Mistake(
                fact, "Write password_file, or remove token_file.", "token_file", ("password_file",)
            )
        if self.control and not self.password_file:
            fact = "whoever can read the page could stop buses"
            yield Mistake(fact, "Write password_file, or remove control.", "control", ("password_file",))

    @property
    def local(self) -> bool:
        """Whether only this machine can connect."""
        return all(ipaddress.ip_address(address).is_loopback for address in self.listen)

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.certificate is not None and self.key is not None

    @property
    def may_control(self) -> bool:
        """Whether the page can change buses."""
        return self.control and self.password_file is not None and (self.tls or self.local)

    @property
    def address(self) -> str:
        """The page's address, for a person at this machine."""
        own = self.listen[0]
        if ipaddress.ip_address(own).is_unspecified:
            own = "localhost"
        elif ":" in own:
            own = f"[{own}]"
        return f"{'https' if self.tls else 'http'}://{own}:{self.port}/"
