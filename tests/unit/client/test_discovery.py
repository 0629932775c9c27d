"""Browsing goes on after a neighbour's record that can be read, but not written back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from zeroconf import current_time_millis
from zeroconf._dns import DNSPointer

from cancorderd.client.discovery import Browser
from cancorderd.protocol.service_names import SERVICE_TYPE
from tests.support.harness import poll

if TYPE_CHECKING:
    import asyncio

    from zeroconf import Zeroconf
    from zeroconf._dns import DNSRecord

POINTER, INTERNET = 12, 1


@pytest.mark.parametrize("name", ["x" * 70, "ä" * 40, "\udc80"], ids=["long", "long in bytes", "surrogate"])
def test_a_name_that_cannot_be_written_back_ends_no_queries(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Browser() as browser:
        found = browser._zeroconf
        failures: list[object] = []
        queries: list[object] = []
        go_on, send = browser._on_failure, found.async_send
        assert found.loop

        def fail(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            failures.append(context)
            go_on(loop, context)

        def count(*arguments: Any) -> None:
            queries.append(arguments)
            send(*arguments)

        found.loop.set_exception_handler(fail)
        monkeypatch.setattr(found, "async_send", count)
        alias = f"{name}.{SERVICE_TYPE}"
        bad = DNSPointer(SERVICE_TYPE, POINTER, INTERNET, 4500, alias, current_time_millis())
        found.loop.call_soon_threadsafe(found.cache.async_add_records, [bad])
        poll(lambda: failures, what="a query that fails")
        before = len(queries)
        poll(lambda: len(queries) > before, what="a further query")
        assert alias not in [getattr(record, "alias", "") for record in _records(found)]


def _records(found: Zeroconf) -> list[DNSRecord]:
    return found.cache.entries_with_name(SERVICE_TYPE)
