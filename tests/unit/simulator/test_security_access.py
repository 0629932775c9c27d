"""SecurityAccess: attempts, and the delay after too many of them."""

from __future__ import annotations

import random

import pytest

from cancorderd.simulator.security_access import DELAY_S, MAX_ATTEMPTS, SecurityAccess
from cancorderd.simulator.uds import Nrc, Refused, key_for

SEED, KEY = b"\x27\x11", b"\x27\x12"
OPENED = b"\x67\x12"
WRONG = KEY + bytes(4)


def refusal(security: SecurityAccess, request: bytes, now: float) -> Nrc:
    with pytest.raises(Refused) as refused:
        security.access(request, now)
    return refused.value.nrc


def locked_out() -> SecurityAccess:
    security = SecurityAccess(random.Random(1))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        security.access(SEED, 0.0)
        last = attempt == MAX_ATTEMPTS
        assert refusal(security, WRONG, 0.0) == (Nrc.EXCEEDED_NUMBER_OF_ATTEMPTS if last else Nrc.INVALID_KEY)
    return security


def test_the_key_is_every_byte_of_the_seed_xor_ca() -> None:
    assert key_for(bytes.fromhex("00 ff ca 12")) == bytes.fromhex("ca 35 00 d8")


def test_the_right_key_unlocks_until_lock_is_called() -> None:
    security = SecurityAccess(random.Random(1))
    assert security.access(KEY + key_for(security.access(SEED, 0.0)[2:]), 0.0) == OPENED
    security.require_unlocked()
    security.lock()
    with pytest.raises(Refused, match="SECURITY_ACCESS_DENIED"):
        security.require_unlocked()


def test_a_seed_is_valid_for_a_single_key() -> None:
    security = SecurityAccess(random.Random(1))
    seed = security.access(SEED, 0.0)[2:]
    assert refusal(security, WRONG, 0.0) == Nrc.INVALID_KEY
    assert refusal(security, KEY + key_for(seed), 0.0) == Nrc.REQUEST_SEQUENCE_ERROR


def test_seeds_differ() -> None:
    security = SecurityAccess(random.Random(1))
    assert len({security.access(SEED, 0.0) for _ in range(50)}) == 50


def test_too_many_wrong_keys_begin_a_delay() -> None:
    security = locked_out()
    assert refusal(security, SEED, 0.0) == Nrc.REQUIRED_TIME_DELAY_NOT_EXPIRED
    assert refusal(security, SEED, DELAY_S - 0.01) == Nrc.REQUIRED_TIME_DELAY_NOT_EXPIRED
    assert security.access(KEY + key_for(security.access(SEED, DELAY_S)[2:]), DELAY_S) == OPENED


def test_a_new_session_does_not_shorten_the_delay() -> None:
    security = locked_out()
    security.lock()
    assert refusal(security, SEED, 1.0) == Nrc.REQUIRED_TIME_DELAY_NOT_EXPIRED


def test_attempts_count_across_sessions() -> None:
    security = SecurityAccess(random.Random(1))
    for expected in (Nrc.INVALID_KEY, Nrc.INVALID_KEY, Nrc.EXCEEDED_NUMBER_OF_ATTEMPTS):
        security.lock()
        security.access(SEED, 0.0)
        assert refusal(security, WRONG, 0.0) == expected
