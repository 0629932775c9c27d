"""The line of a password file."""

from __future__ import annotations

import base64

import pytest

from cancorderd.web.password import MalformedPassword, line_of, parse

SALT = bytes(range(16))
LINE = line_of("correct horse", SALT)


def test_only_the_password_matches() -> None:
    found = parse(f"{LINE}\n")
    assert found.matches("correct horse")
    assert not found.matches("correct hors")
    assert not found.matches("")
    assert not found.matches("x" * 100_000), "and it is not computed"


def test_line_holds_neither_the_password_nor_a_line_end() -> None:
    assert "horse" not in LINE
    assert "\n" not in LINE


def test_salt_makes_lines_differ() -> None:
    assert line_of("correct horse", bytes(16)) != LINE


KEY = base64.b64encode(bytes(32)).decode()
SALT_TEXT = base64.b64encode(SALT).decode()


@pytest.mark.parametrize(
    "line",
    [
        *("", "correct horse", "bcrypt$1$2$3$4$5", LINE[:-4], LINE + "$x", LINE.replace("$8$", "$0$")),
        f"scrypt$1073741824$8$1${SALT_TEXT}${KEY}",  # a terabyte of memory
        f"scrypt$32768$8$1000000${SALT_TEXT}${KEY}",  # hours
        f"scrypt$32767$8$1${SALT_TEXT}${KEY}",
        f"scrypt$65536$1$1${SALT_TEXT}${KEY}",  # more than there can be with so small blocks (RFC 7914, 2)
        f"scrypt$-2$8$1${SALT_TEXT}${KEY}",
        f"scrypt$x$8$1${SALT_TEXT}${KEY}",
        f"scrypt$32768$8$1$!${KEY}",
        f"scrypt$32768$8$1$AAAA${KEY}",
        f"scrypt$32768$8$1${SALT_TEXT}$AAAA",
    ],
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(MalformedPassword):
        parse(line)


def test_a_line_for_as_much_memory_as_is_allowed_is_read() -> None:
    found = parse(f"scrypt$131072$8$16${SALT_TEXT}${KEY}")
    assert (found.n, found.r, found.p) == (1 << 17, 8, 16)
    for line in (
        f"scrypt$262144$8$1${SALT_TEXT}${KEY}",
        f"scrypt$131072$8$17${SALT_TEXT}${KEY}",
        f"scrypt$131072$8$0${SALT_TEXT}${KEY}",
        f"scrypt$131072$8$1${SALT_TEXT[:-3]}A\n=${KEY}",
        f"scrypt$131072$8$1${SALT_TEXT}${KEY[:-1]}*=",
    ):
        with pytest.raises(MalformedPassword):
            parse(line)
