"""Passwords and tokens of requests."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest

from cancorderd.web.access import Throttle
from cancorderd.web.login import Login, LoginRequired, LoginThrottled
from cancorderd.web.password import PasswordHash

TOKEN = "0123456789abcdef"


def quick_hash(password: str) -> PasswordHash:
    salt = bytes(16)
    return PasswordHash(2, 8, 1, salt, hashlib.scrypt(password.encode(), salt=salt, n=2, r=8, p=1, dklen=32))


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'x:{password}'.encode()).decode()}"


async def passes(
    login: Login, header: str, address: str = "10.0.0.1", *, token_suffices: bool = False
) -> bool:
    try:
        await login.check(header, address, token_suffices=token_suffices)
    except LoginRequired:
        return False
    return True


def test_without_a_password_everything_passes() -> None:
    assert asyncio.run(passes(Login(None, None), ""))


def test_password_is_needed_again_and_again() -> None:
    async def check() -> None:
        login = Login(quick_hash("horse"), None)
        assert not await passes(login, "")
        assert await passes(login, basic("horse"))
        assert await passes(login, basic("horse")), "now without scrypt"
        assert not await passes(login, basic("mouse"))
        assert not await passes(login, f"Bearer {TOKEN}", token_suffices=True), "there is no token"

    asyncio.run(check())


def test_a_token_that_is_no_text_is_wrong() -> None:
    login = Login(quick_hash("right"), TOKEN)
    header = b"Bearer \xff\xfe".decode(errors="surrogateescape")  # as aiohttp does
    assert not asyncio.run(passes(login, header, token_suffices=True))


def test_token_opens_only_what_a_token_opens() -> None:
    async def check() -> None:
        login = Login(quick_hash("horse"), TOKEN)
        assert await passes(login, f"Bearer {TOKEN}", token_suffices=True)
        assert not await passes(login, f"Bearer {TOKEN}", token_suffices=False)
        assert not await passes(login, f"Bearer {TOKEN}x", token_suffices=True)
        assert not await passes(login, "Bearer größer", token_suffices=True)

    asyncio.run(check())


def test_after_wrong_passwords_even_the_right_one_waits_and_others_do_not() -> None:
    async def check() -> None:
        login = Login(quick_hash("horse"), TOKEN)
        assert await passes(login, basic("horse"))
        for number in range(Throttle.FREE):
            assert not await passes(login, basic(f"guess {number}"))
        with pytest.raises(LoginThrottled) as caught:
            await passes(login, basic("horse"))
        assert 0 < caught.value.wait_s <= Throttle.EVERY_S
        assert await passes(login, basic("horse"), "10.0.0.2")

    asyncio.run(check())


def test_requests_without_a_password_are_no_guesses() -> None:
    async def check() -> None:
        login = Login(quick_hash("horse"), None)
        for _ in range(3 * Throttle.FREE):
            assert not await passes(login, "")
        assert await passes(login, basic("horse"))

    asyncio.run(check())
