"""A hub whose users log in with credentials (.creds): an operator, an account and users, as nsc would make them, by nkeys and JWTs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

import nkeys

from tests.support.nats_server import NatsServer

if TYPE_CHECKING:
    from pathlib import Path

_UNLIMITED = dict.fromkeys(("subs", "data", "payload"), -1)
_ACCOUNT_LIMITS = {
    **_UNLIMITED,
    **dict.fromkeys(("imports", "exports", "conn", "leaf"), -1),
    "wildcards": True,
}
_JETSTREAM = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
"""Limits of an account; the system account must not have these."""


def key(prefix: int) -> nkeys.KeyPair:
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def public(pair: nkeys.KeyPair) -> str:
    return str(pair.public_key.decode())


def token(
    issuer: nkeys.KeyPair, subject: nkeys.KeyPair, name: str, claims: dict[str, Any], **further: Any
) -> str:
    """Return a signed JWT of version 2 (github.com/nats-io/jwt)."""
    content = {
        "iat": int(time.time()), "iss": public(issuer), "sub": public(subject), "name": name, **further,
        "nats": {**claims, "version": 2},
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(content).encode()).digest()
    content["jti"] = base64.b32encode(digest).decode().rstrip("=")
    head = _encoded(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    signed = f"{head}.{_encoded(json.dumps(content).encode())}"
    return f"{signed}.{_encoded(issuer.sign(signed.encode()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class JwtHub(NatsServer):
    """A server that trusts an operator; `credentials` makes users of its only account."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        """`settings` are added to the server's configuration."""
        operator, system = key(nkeys.PREFIX_BYTE_OPERATOR), key(nkeys.PREFIX_BYTE_ACCOUNT)
        self._account = key(nkeys.PREFIX_BYTE_ACCOUNT)
        accounts = "".join(
            f" {public(pair)}: {token(operator, pair, name, {'type': 'account', 'limits': limits})}\n"
            for pair, name, limits in (
                (system, "SYS", _ACCOUNT_LIMITS),
                (self._account, "FLEET", {**_ACCOUNT_LIMITS, **_JETSTREAM}),
            )
        )
        super().__init__(
            folder,
            f"operator: {token(operator, operator, 'test', {'type': 'operator'})}\nsystem_account: {public(system)}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{accounts}}}\n{settings}",
        )

    def credentials(self, name: str, publish: list[str], subscribe: list[str], **claims: Any) -> Path:
        """Return a .creds file for a user with these rights; `claims` such as `exp` are added to its JWT."""
        user = key(nkeys.PREFIX_BYTE_USER)
        rights = {"pub": {"allow": publish}, "sub": {"allow": subscribe}, **_UNLIMITED, "type": "user"}
        text = token(self._account, user, name, rights, **claims)
        file = self.folder / f"{name}.creds"
        file.touch(0o640)
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{text}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )
        return file
