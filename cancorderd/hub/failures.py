"""Reasons why a hub cannot be used, each with its stage: how far the attempt got. Pure.

The text of each is the sentence for the user: *place: fact. Remedy.* It never contains a secret.
"""

from __future__ import annotations

from enum import IntEnum


class Stage(IntEnum):
    """Steps from a configuration to a usable stream, in order."""

    FILES = 1
    NAME = 2
    NETWORK = 3
    TLS = 4
    SERVER = 5
    LOGIN = 6
    JETSTREAM = 7
    STREAM = 8
    RIGHTS = 9


class Progress:
    """The stage that an attempt to connect has come to."""

    def __init__(self) -> None:
        self.stage = Stage.NAME


class HubError(Exception):
    """The hub cannot be used."""

    stage = Stage.SERVER


class AccessMistake(HubError):
    """The settings contradict each other, or a file that they name cannot be used."""

    stage = Stage.FILES


class NotPermitted(AccessMistake):
    """A file may not be read or written by this user of this machine."""


class ServerTooOld(HubError):
    """The server lacks functions that a fleet needs."""


class LibraryMissing(HubError):
    """nats-py or nkeys is not installed."""

    stage = Stage.FILES


class NameUnknown(HubError):
    """The host name has no address."""

    stage = Stage.NAME


class Unreachable(HubError):
    """No TCP connection."""

    stage = Stage.NETWORK


class TlsUnanswered(Unreachable):
    """A connection on which nothing answers TLS, as of a server that hangs: it may pass."""

    stage = Stage.TLS


class TlsFailed(HubError):
    """TLS cannot be set up, or a certificate was refused."""

    stage = Stage.TLS


class NoTls(TlsFailed):
    """TLS is required here, and the server offers none."""


class NotNats(HubError):
    """Whatever answers is no NATS server, or stops answering before it has introduced itself."""


class LoginRefused(HubError):
    """The server does not accept the user."""

    stage = Stage.LOGIN


class ConnectionLost(HubError):
    """The connection ended."""


class NoAnswer(HubError):
    """The server has not answered a request in time."""


class Refused(HubError):
    """The user has no right to a subject."""

    stage = Stage.RIGHTS

    def __init__(self, sentence: str, subject: str = "") -> None:
        super().__init__(sentence)
        self.subject = subject


class NoJetStream(HubError):
    """The server, or this account, has no JetStream."""

    stage = Stage.JETSTREAM


class ApiError(HubError):
    """JetStream refused a request; `code` is its error code (err_code)."""

    stage = Stage.JETSTREAM

    def __init__(self, sentence: str, code: int = 0) -> None:
        super().__init__(sentence)
        self.code = code


class StreamMissing(ApiError):
    """There is no stream of that name."""

    stage = Stage.STREAM
