"""The password of the page: its line in a file, and the check of a guess. Pure.

The line holds the parameters of scrypt (RFC 7914), the salt and the key: `scrypt$N$R$P$SALT$KEY`, base64. N, r and p are
those of OWASP's Password Storage Cheat Sheet with 32 MiB.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import NamedTuple

N, R, P = 1 << 15, 8, 3
SALT_BYTES = 16
KEY_BYTES = 32
SHORTEST = 8
"""Characters of a password."""
LONGEST = 256
_MOST_MEMORY = 128 << 20
_MOST_P = 16
_FIELDS = 6


class MalformedPassword(ValueError):
    """A line is none that `line_of` wrote."""


class PasswordHash(NamedTuple):
    """A password that can be checked, and not be read."""

    n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    def matches(self, password: str) -> bool:
        """Return whether this is the password. Takes a good part of a second of processor time, on purpose."""
        if len(password) > LONGEST:
            return False
        return hmac.compare_digest(_key(password, self.n, self.r, self.p, self.salt), self.key)


def line_of(password: str, salt: bytes) -> str:
    """Return the line of a file for this password."""
    salt_text, key_text = (base64.b64encode(part).decode() for part in (salt, _key(password, N, R, P, salt)))
    return f"scrypt${N}${R}${P}${salt_text}${key_text}"


def parse(line: str) -> PasswordHash:
    """Return the password of a line. Raises MalformedPassword."""
    fields = line.strip().split("$")
    if len(fields) != _FIELDS or fields[0] != "scrypt":
        raise MalformedPassword
    try:
        n, r, p = map(int, fields[1:4])
        salt, key = (base64.b64decode(text, validate=True) for text in fields[4:])
    except (binascii.Error, ValueError) as error:
        raise MalformedPassword from error
    sound = n > 1 and n & (n - 1) == 0 and r > 0 and 0 < p <= _MOST_P and 128 * n * r <= _MOST_MEMORY
    # RFC 7914, 2: N is less than 2^(128 * r / 8).
    if not sound or n.bit_length() > 16 * r or len(salt) < SALT_BYTES or len(key) != KEY_BYTES:
        raise MalformedPassword
    return PasswordHash(n, r, p, salt, key)


def _key(password: str, n: int, r: int, p: int, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode(errors="surrogateescape"),
        salt=salt,
        n=n,
        r=r,
        p=p,
        maxmem=2 * _MOST_MEMORY,
        dklen=KEY_BYTES,
    )
