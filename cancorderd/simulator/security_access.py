"""SecurityAccess in the ECU: seeds, keys, attempts and delays (ISO 14229-1:2013, clause 9.4). Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cancorderd.simulator.uds import POSITIVE, SECURITY_LEVEL, Nrc, Refused, Sid, key_for

if TYPE_CHECKING:
    import random

SEED_LENGTH = 4
MAX_ATTEMPTS = 3
"""Number of wrong keys that begins the delay (9.4.1, Att_Cnt_Limit)."""
DELAY_S = 10.0
"""How long seeds are then refused (Delay_Timer)."""


class SecurityAccess:
    """State of one security level."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._seed: bytes | None = None
        self._attempts = 0
        self._locked_until = -math.inf
        self.unlocked = False

    def lock(self) -> None:
        """Lock, because a session began or ended. Attempts still count, and a delay continues."""
        self.unlocked = False
        self._seed = None

    def require_unlocked(self) -> None:
        """Raise Refused unless unlocked."""
        if not self.unlocked:
            raise Refused(Nrc.SECURITY_ACCESS_DENIED)

    def access(self, request: bytes, now: float) -> bytes:
        """Return the positive response to a SecurityAccess request. Raises Refused."""
        level, parameters = request[1], request[2:]
        start = bytes([Sid.SECURITY_ACCESS + POSITIVE, level])
        if level == SECURITY_LEVEL:
            if parameters:
                raise Refused(Nrc.INCORRECT_LENGTH)
            return start + self._request_seed(now)
        if len(parameters) != SEED_LENGTH:
            raise Refused(Nrc.INCORRECT_LENGTH)
        self._send_key(parameters, now)
        return start

    def _request_seed(self, now: float) -> bytes:
        if self.unlocked:
            return bytes(SEED_LENGTH)  # all zero: already unlocked (9.4.1)
        if now < self._locked_until:
            raise Refused(Nrc.REQUIRED_TIME_DELAY_NOT_EXPIRED)
        # Never all zero, which would mean "already unlocked".
        self._seed = self._rng.randrange(1, 1 << 8 * SEED_LENGTH).to_bytes(SEED_LENGTH, "big")
        return self._seed

    def _send_key(self, key: bytes, now: float) -> None:
        seed, self._seed = self._seed, None
        if seed is None:
            raise Refused(Nrc.REQUEST_SEQUENCE_ERROR)
        if key == key_for(seed):
            self.unlocked = True
            self._attempts = 0
            return
        self._attempts += 1
        if self._attempts < MAX_ATTEMPTS:
            raise Refused(Nrc.INVALID_KEY)
        self._attempts = 0
        self._locked_until = now + DELAY_S
        raise Refused(Nrc.EXCEEDED_NUMBER_OF_ATTEMPTS)
