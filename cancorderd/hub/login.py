"""Secrets for a login, read anew at each connection from the files that hold them."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cancorderd.hidden_folders import remedy_if_hidden
from cancorderd.hub.failures import AccessMistake, NotPermitted

if TYPE_CHECKING:
    from cancorderd.hub.access import HubAccess

LONGEST = 65_536
"""Bytes of a file with secrets: a JWT with many rights has some thousand."""
_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----\s+(\S+)\s+-+END")


@dataclass(frozen=True)
class Login:
    """What a user shows to the server. Its secrets are left out of its `repr`."""

    user: str | None = None
    """Name of the user, from which the prefix of its inboxes is made."""
    password: str | None = field(default=None, repr=False)
    credentials: str | None = field(default=None, repr=False)
    """Content of a .creds file."""
    expires_s: float | None = None
    """Seconds since the epoch at which the credentials become invalid."""


def read_login(access: HubAccess) -> Login:
    """Return the login that `access` describes. Raises AccessMistake."""
    if access.credentials is not None:
        return _credentials(access.credentials)
    if access.password_file is not None:
        password = read_secret(access.password_file).strip("\r\n")
        if not password:
            raise AccessMistake(f"{access.password_file}: is empty. Write the password into it.")
        return Login(access.user, password)
    return Login(access.user)


def read_secret(path: str) -> str:
    """Return the text of a file that only its owner and group may read. Raises AccessMistake."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(LONGEST + 1)
    except OSError as error:
        kind = NotPermitted if isinstance(error, PermissionError) else AccessMistake
        raise kind(f"{path}: cannot be read ({error.strerror}). {_remedy(path, error)}") from error
    if mode & stat.S_IRWXO:
        raise AccessMistake(f"{path}: holds a secret, and every user may read it. Run chmod o= {path}.")
    if len(content) > LONGEST:
        raise AccessMistake(f"{path}: is too long for a secret. Name another file.")
    try:
        return content.decode()
    except UnicodeDecodeError:
        # Without a cause: the exception contains the secret.
        raise AccessMistake(f"{path}: is no text. Name another file.") from None


def _remedy(path: str, error: OSError) -> str:
    if remedy := remedy_if_hidden(path):
        return remedy
    if isinstance(error, FileNotFoundError):
        return "Check the path."
    if isinstance(error, PermissionError):
        return "Let the daemon read it (group cancorder, mode 0640); run commands as root, or as a user of this group."
    return "Check the file."


def _credentials(path: str) -> Login:
    content = read_secret(path)
    blocks: dict[str, str] = dict(_BLOCK.findall(content))
    token = blocks.get("NATS USER JWT")
    if token is None or "USER NKEY SEED" not in blocks:
        raise AccessMistake(
            f"{path}: holds no user's JWT and nkey. Name a file that `nsc` or the hub's owner made."
        )
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        user, expires = str(claims.get("name") or claims["sub"]), claims.get("exp")
    except (IndexError, KeyError, AttributeError, ValueError, binascii.Error):
        raise AccessMistake(f"{path}: its JWT is damaged. Get the file again from the hub's owner.") from None
    return Login(
        user, credentials=content, expires_s=float(expires) if isinstance(expires, int | float) else None
    )
