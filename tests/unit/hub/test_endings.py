"""Meaning of the errors with which a server ends a login or a connection, and how far the attempt got."""

from __future__ import annotations

import ssl

import pytest

from cancorderd.hub import failures
from cancorderd.hub.access import HubAccess, server_address
from cancorderd.hub.endings import late, meaning_of_end, missing_right
from cancorderd.hub.failures import HubError, Stage
from cancorderd.hub.login import Login

SERVER = server_address("tls://hub")
USER = HubAccess(("tls://hub",), user="truck", password_file="/password")
CREDENTIALS = HubAccess(("tls://hub",), credentials="/hub.creds")
OWNER = "with the hub's owner."


@pytest.mark.parametrize(
    ("error", "access", "kind", "sentence"),
    [
        ("nats: 'Authorization Violation'", USER, failures.LoginRefused,
         "truck is refused. Check user and password, or credentials, with the hub's owner."),
        ("nats: 'Authorization Violation'", CREDENTIALS, failures.LoginRefused,
         "truck is refused. Check /hub.creds with the hub's owner."),
        ("User Authentication Expired", USER, failures.LoginRefused,
         "the credentials have expired. Get new ones from the hub's owner."),
        ("user authentication revoked", USER, failures.LoginRefused,
         "the credentials were revoked. Get new ones from the hub's owner."),
        ("Authentication Timeout", USER, failures.LoginRefused,
         "the login took too long for the server. Check the network's delay."),
        ("maximum connections exceeded", USER, failures.LoginRefused,
         "refuses the connection (maximum connections exceeded). Raise this limit at the hub."),
        ("Secure Connection - TLS Required", USER, failures.TlsFailed, "serves TLS only. Write tls:// in url."),
        ("maximum is 5", USER, failures.NotNats, "the login failed (maximum is 5). Check the server's log."),
        ("odd", USER, failures.NotNats, "the login failed (odd). Check the server's log."),
        ("odd", None, failures.ConnectionLost, "the connection ended (odd)."),
        (None, None, failures.ConnectionLost, "the connection ended (the server closed it)."),
        (None, USER, failures.NotNats, "the login failed (the server closed it). Check the server's log."),
    ],
)  # fmt: skip
def test_the_end_of_a_connection_has_a_meaning_and_a_remedy(
    error: str | None, access: HubAccess | None, kind: type[HubError], sentence: str
) -> None:
    login = Login(user="truck")
    meaning = meaning_of_end(SERVER, Exception(error) if error else None, access, login)
    assert type(meaning) is kind
    assert str(meaning) == f"{SERVER}: {sentence}"


@pytest.mark.parametrize(
    ("user", "remedy"),
    [
        ("truck-17", "Add it at the hub."),
        (None, "Add it at the hub."),
        ("truck-18", "Correct gateway or user, or add it at the hub."),
    ],
)
def test_missing_right_of_another_gateway_may_be_a_wrong_name(user: str | None, remedy: str) -> None:
    refused = missing_right(SERVER, user, "publish", "$JS.API.STREAM.INFO.CAN_truck-17")
    fact = f"{user or 'this user'} has no right to publish to $JS.API.STREAM.INFO.CAN_truck-17."
    assert str(refused) == f"{SERVER}: {fact} {remedy}"


def test_a_login_without_user_is_named_as_such() -> None:
    meaning = meaning_of_end(SERVER, Exception("Authorization Violation"), HubAccess(("tls://hub",)))
    assert str(meaning).startswith(f"{SERVER}: a login without user is refused.")


@pytest.mark.parametrize(("now_s", "expired"), [(99.9, False), (100.0, True), (100.1, True)])
def test_credentials_expire_although_the_server_does_not_say_so(now_s: float, expired: bool) -> None:
    login = Login(user="truck", expires_s=100.0)
    meaning = meaning_of_end(SERVER, Exception("Authorization Violation"), CREDENTIALS, login, now_s=now_s)
    assert ("have expired" in str(meaning)) == expired


def test_an_error_of_tls_is_one_of_certificates_during_the_login_alone() -> None:
    error = ssl.SSLError(1, "bad record")
    assert isinstance(meaning_of_end(SERVER, error, USER), failures.TlsFailed)
    assert isinstance(meaning_of_end(SERVER, error), failures.ConnectionLost)


STAGES: dict[Stage, list[type[HubError]]] = {
    Stage.FILES: [failures.AccessMistake, failures.NotPermitted, failures.LibraryMissing],
    Stage.NAME: [failures.NameUnknown],
    Stage.NETWORK: [failures.Unreachable],
    Stage.TLS: [failures.TlsFailed, failures.NoTls, failures.TlsUnanswered],
    Stage.SERVER: [failures.ServerTooOld, failures.NotNats, failures.ConnectionLost, failures.NoAnswer],
    Stage.LOGIN: [failures.LoginRefused],
    Stage.JETSTREAM: [failures.NoJetStream, failures.ApiError],
    Stage.STREAM: [failures.StreamMissing],
    Stage.RIGHTS: [failures.Refused],
}


@pytest.mark.parametrize(
    ("stage", "kind", "words"),
    [
        (Stage.NAME, failures.NameUnknown, "no name server answers for hub within 3 s"),
        (Stage.NETWORK, failures.Unreachable, "no answer within 3 s"),
        (Stage.TLS, failures.TlsUnanswered, "accepts connections, but does not answer TLS within 3 s"),
        (Stage.SERVER, failures.NotNats, "accepts connections, but does not introduce itself within 3 s"),
        (Stage.LOGIN, failures.NotNats, "stopped answering during the login"),
    ],
)
def test_an_attempt_that_takes_too_long(stage: Stage, kind: type[HubError], words: str) -> None:
    failure = late(SERVER, stage, 3.0)
    assert type(failure) is kind
    assert words in str(failure)
    # What may pass by itself must not call somebody who has to act.
    assert not isinstance(failure, failures.TlsFailed)


def test_each_failure_tells_how_far_the_attempt_got() -> None:
    """`hub check` prints the steps in this order, and all before the failure as done."""
    assert list(STAGES) == sorted(Stage)
    assert {kind: kind.stage for kinds in STAGES.values() for kind in kinds} == {
        kind: stage for stage, kinds in STAGES.items() for kind in kinds
    }
    defined = {
        kind for kind in vars(failures).values() if isinstance(kind, type) and issubclass(kind, HubError)
    }
    assert defined == {HubError, *(kind for kinds in STAGES.values() for kind in kinds)}


def test_what_a_program_has_to_know_of_a_refusal_is_kept() -> None:
    refused = failures.Refused("hub: no right", "can.truck.body")
    assert (str(refused), refused.subject, failures.Refused("x").subject) == (
        "hub: no right",
        "can.truck.body",
        "",
    )
    answer = failures.StreamMissing("hub: no stream", 10059)
    assert (str(answer), answer.code, failures.ApiError("x").code) == ("hub: no stream", 10059, 0)
