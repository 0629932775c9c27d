"""A line in the log for a malformed HTTP request: aiohttp logs it like a bug of ours, with a traceback."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from cancorderd.printable import printable

_LONGEST_MISTAKE = 100
"""Characters of the mistake that are logged."""


def http_log(name: str, place: str) -> logging.Logger:
    """Return a logger for aiohttp; `place` is where requests arrive, as "on the control socket"."""

    def shorten_mistakes_of_peers(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            mistake = printable(" ".join(str(error).split()), _LONGEST_MISTAKE)
            record.msg, record.args = f"malformed request {place}: %s", (mistake,)
            record.exc_info = None
            record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        return True

    log = logging.getLogger(name)
    log.filters.clear()
    log.addFilter(shorten_mistakes_of_peers)
    return log
