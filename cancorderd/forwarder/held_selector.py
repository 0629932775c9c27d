"""The selector of the forwarder's event loop, which serves acknowledgements together with the next round of reading.

Each wake costs more than what is done in it: while a busy bus is forwarded, the acknowledgement of a batch would wake this
process a moment after the round that sent it.
"""

from __future__ import annotations

import math
import selectors
import time

_LONGEST_S = 0.1
"""Time for which the supervisor's messages and the end of a connection may wait."""


class HeldSelector(selectors.DefaultSelector):
    """While `held`, what becomes ready waits for the next timer of the loop if that is due soon."""

    held = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.held and timeout is not None and 0 < timeout <= _LONGEST_S:
            time.sleep(math.ceil(timeout * 1e3) / 1e3)  # whole milliseconds, as epoll waits
            timeout = 0
        return super().select(timeout)
