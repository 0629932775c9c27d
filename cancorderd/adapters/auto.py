"""auto: the first adapter that works, in the ancestor's order: gs_usb, slcan, CAN interfaces that are up.

`untaken` and `settings_for` are pure. An adapter that another bus names is left alone, and two buses that search
never get the same adapter. The adapter is opened by the source of its own interface, and named in `details`.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from cancorderd.adapters.failures import AdapterAbsent, BusFailure
from cancorderd.config.schema import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cancorderd.adapters.auto_settings import AutoSettings
    from cancorderd.adapters.base import Source
    from cancorderd.adapters.candidate import Candidate
    from cancorderd.adapters.registry import Adapter
    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.protocol.batch import Batch

ORDER = ("gs_usb", "slcan", "socketcan")

_REST_S = 1.0
"""Time for which an adapter that does not work is left alone: opening some takes a dialogue with them."""


def untaken(candidates: Iterable[Candidate], taken: Sequence[str]) -> list[Candidate]:
    """Return the candidates that no other bus names. `taken` is `config.conflicts.named_adapters`."""
    pairs = [text.partition(" ") for text in taken]
    places = {(interface, os.path.realpath(name)) for interface, _, name in pairs if name.startswith("/")}

    def is_taken(candidate: Candidate) -> bool:
        interface, name = candidate.interface, candidate.name
        names = (name, candidate.serial, candidate.usb_port)
        return (
            not {interface, *(f"{interface} {text}" for text in names)}.isdisjoint(taken)
            or (interface, os.path.realpath(name)) in places
        )

    return [candidate for candidate in candidates if not is_taken(candidate)]


def settings_for(candidate: Candidate, settings: AutoSettings, kind: type[BusSettings]) -> BusSettings:
    """Return the settings of the interface that was found, with the keys of the bus that searches."""
    known = {field.name for field in fields(kind)} - {"channel"}
    keys: dict[str, Any] = {name: value for name, value in values(settings).items() if name in known}
    return kind(**{**keys, "interface": candidate.interface, candidate.key: candidate.value})


class Search:
    """Memory of adapters that failed, and the claim on the adapter that this bus has."""

    def __init__(self, rows: Sequence[Adapter]) -> None:
        self._rows = {row.name: row for row in rows}
        self._failures: dict[Candidate, tuple[float, str]] = {}
        """The time until which each is left alone, and the reason."""
        self._claim: socket.socket | None = None

    def candidates(self) -> list[Candidate]:
        """Return every adapter that there is, in order. An interface whose adapters cannot be listed has none."""
        found: list[Candidate] = []
        for row in self._rows.values():
            try:
                found += row.candidates() if row.candidates else []
            except (ImportError, OSError, BusFailure):
                continue
        return found

    def open(self, settings: AutoSettings, candidates: Sequence[Candidate], now_s: float) -> Source:
        """Open the first candidate that works; `now_s` is the monotonic clock.

        Raises AdapterAbsent with the reason for each candidate if none works.
        """
        reasons = []
        for candidate in candidates:
            until_s, reason = self._failures.get(candidate, (now_s, ""))
            if now_s >= until_s:
                try:
                    return self._opened(candidate, settings)
                except BusFailure as error:
                    reason = f"{candidate}: {error}"
                    self._failures[candidate] = (now_s + _REST_S, reason)
            reasons.append(reason)
        if reasons:
            raise AdapterAbsent(f"no adapter works. {' '.join(reasons)}")
        raise AdapterAbsent(
            "there is no adapter. Plug one in; cancorderctl detect lists those that are there."
        )

    def close(self) -> None:
        """Give up the claim on the adapter."""
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def _opened(self, candidate: Candidate, settings: AutoSettings) -> Source:
        self.close()
        self._claim = _claim(candidate)
        row = self._rows[candidate.interface]
        try:
            source = row.open_source(settings_for(candidate, settings, row.settings_class()))
        except BaseException:
            self.close()
            raise
        source.details["found"] = str(candidate)
        return (
            cast("Source", FoundSource(source, lambda error: self._give_up(candidate, error)))
            if source.waiting
            else source
        )

    def _give_up(self, candidate: Candidate, failure: BusFailure) -> str:
        """Leave an adapter alone that could not be set up; returns the reason."""
        self.close()
        reason = f"{candidate}: {failure}"
        self._failures[candidate] = (time.monotonic() + _REST_S, reason)
        return reason


class FoundSource:
    """The source of an adapter that is still being set up. If that fails, the search goes on: the adapter is absent."""

    def __init__(self, source: Source, give_up: Callable[[BusFailure], str]) -> None:
        self._source = source
        self._give_up = give_up

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    @property
    def internal(self) -> bool:
        return self._source.internal

    @internal.setter
    def internal(self, wanted: bool) -> None:
        self._source.internal = wanted

    def read(self, now_s: float) -> Batch:
        try:
            return self._source.read(now_s)
        except BusFailure as failure:
            if not self._source.waiting:
                raise
            raise AdapterAbsent(self._give_up(failure)) from failure


_searches: list[Search] = []
"""The search of this process, which serves one bus and holds its claim to the end."""


def open_source(settings: AutoSettings, rows: Sequence[Adapter]) -> Source:
    """Open the first adapter of these interfaces that works. Raises AdapterAbsent with the reasons if none does."""
    if not _searches:
        _searches.append(Search(rows))
    search = _searches[0]
    return search.open(settings, untaken(search.candidates(), settings.taken), time.monotonic())


def _claim(candidate: Candidate) -> socket.socket | None:
    """Keep other searching buses away, since several can read one CAN interface. Raises AdapterAbsent.

    Only on Linux, where the name of a socket can stand for anything; elsewhere an adapter opens only once.
    """
    if not sys.platform.startswith("linux"):
        return None
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0cancorderd auto {sha256(str(candidate).encode()).hexdigest()}")
    except OSError:
        claim.close()
        raise AdapterAbsent('another bus with interface = "auto" has it.') from None
    return claim
