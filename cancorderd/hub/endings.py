"""Meaning of an exception with which a login failed or a connection ended. Pure."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from cancorderd.hub.certificates import tls_failure
from cancorderd.hub.failures import (
    ConnectionLost,
    HubError,
    LoginRefused,
    NameUnknown,
    NoAnswer,
    NotNats,
    Refused,
    Stage,
    TlsFailed,
    TlsUnanswered,
    Unreachable,
)
from cancorderd.hub.subjects import gateway_of
from cancorderd.printable import error_text

if TYPE_CHECKING:
    from cancorderd.hub.access import HubAccess, ServerAddress
    from cancorderd.hub.login import Login


def meaning_of_end(
    server: ServerAddress,
    error: BaseException | None,
    access: HubAccess | None = None,
    login: Login | None = None,
    *,
    now_s: float = 0.0,
) -> HubError:
    """Return the meaning of an exception that ended a connection, or the login before it.

    `now_s` is the time in seconds since the epoch: a server does not say that credentials have expired.
    """
    text = error_text(error) if error is not None else "the server closed it"
    if access is not None and isinstance(error, ssl.SSLError):
        return tls_failure(server, error, access)
    lower = text.lower()
    if "authorization" in lower or "authentication" in lower:
        expired = bool(login and login.expires_s is not None and login.expires_s <= now_s)
        return _login_refused(server, "expired" if expired else text, access, login)
    if "maximum" in lower and "exceeded" in lower:
        return LoginRefused(f"{server}: refuses the connection ({text}). Raise this limit at the hub.")
    if "tls" in lower and "required" in lower:
        return TlsFailed(f"{server}: serves TLS only. Write tls:// in url.")
    if access is not None:
        return NotNats(f"{server}: the login failed ({text}). Check the server's log.")
    return ConnectionLost(f"{server}: the connection ended ({text}).")


def no_answer(server: ServerAddress, subject: str, within_s: float) -> NoAnswer:
    return NoAnswer(f"{server}: no answer to {subject} within {within_s:g} s. Check network and server.")


def missing_right(server: ServerAddress, user: str | None, action: str, subject: str) -> Refused:
    """Return the meaning of a refused request; `action` is the server's word for it."""
    verb = "publish" if action == "publish" else "subscribe"
    own = user is None or gateway_of(subject) in (None, user)
    remedy = "Add it at the hub" if own else "Correct gateway or user, or add it at the hub"
    fact = f"{user or 'this user'} has no right to {verb} to {subject}"
    return Refused(f"{server}: {fact}. {remedy}.", subject)


def late(server: ServerAddress, stage: Stage, within_s: float) -> HubError:
    """Return the failure of an attempt to connect that has taken so long, at a stage."""
    time = f"within {within_s:g} s"
    match stage:
        case Stage.NAME:
            return NameUnknown(
                f"{server}: no name server answers for {server.host} {time}. Check DNS and network."
            )
        case Stage.NETWORK:
            return Unreachable(f"{server}: no answer {time}. Check network, firewall, host and port.")
        case Stage.TLS:
            return TlsUnanswered(
                f"{server}: accepts connections, but does not answer TLS {time}. Check the port; restart the server."
            )
        case Stage.SERVER:
            return NotNats(
                f"{server}: accepts connections, but does not introduce itself {time}. Check the port; restart the "
                "server."
            )
    return NotNats(f"{server}: stopped answering during the login. Check the server.")


def _login_refused(
    server: ServerAddress, text: str, access: HubAccess | None, login: Login | None
) -> LoginRefused:
    lower = text.lower()
    whose = login.user if login and login.user else "a login without user"
    file = (access and access.credentials) or "user and password, or credentials,"
    if "expired" in lower:
        return LoginRefused(f"{server}: the credentials have expired. Get new ones from the hub's owner.")
    if "revoked" in lower:
        return LoginRefused(f"{server}: the credentials were revoked. Get new ones from the hub's owner.")
    if "timeout" in lower:
        return LoginRefused(f"{server}: the login took too long for the server. Check the network's delay.")
    return LoginRefused(f"{server}: {whose} is refused. Check {file} with the hub's owner.")
