"""From the files to a `Configuration`, or to every mistake in them with its file and line.

What a file may say is `model`; a mistake is reported where it stands, so one in [defaults] is
reported there and once, however many buses have it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cancorderd.config import sentences
from cancorderd.config.clashes import clashes, named_adapters
from cancorderd.config.files import File, drop_ins, read
from cancorderd.config.interfaces import refusal, section_of
from cancorderd.config.model import BUS_NAME, AutoBus, BusBase, Configuration, Daemon, MockBus, ReplayBus
from cancorderd.config.problem import ConfigurationError, Problem, shortened, written

if TYPE_CHECKING:
    from cancorderd.config.lines import KeyPath

__all__ = ["ConfigurationError", "Problem", "demo", "load"]

_TOP_LEVEL = ("include", "daemon", "defaults", "bus")
_CLASHING = {"interface", "channel", "listen", "enabled", "zeroconf", "options"}
"""Keys without whose right value nothing can be said about clashes."""
_COMPARED = {"fd", "tester_id"}
"""Keys that a check compares with another one, which it then blames."""


def load(path: str | os.PathLike[str]) -> Configuration:
    """The configuration in the file at `path` and its drop-ins. Raises ConfigurationError."""
    main = read(os.fspath(path))
    if isinstance(main, Problem):
        raise ConfigurationError([main])
    return _Loading(main).configuration()


def demo(control_socket: str | os.PathLike[str], state_dir: str | os.PathLike[str]) -> Configuration:
    """What runs without a file: one mock bus that starts with its first client."""
    bus = MockBus(name="demo", interface="mock", start="client")
    daemon = Daemon(
        control_socket=str(Path(control_socket).absolute()), state_dir=str(Path(state_dir).absolute())
    )
    return Configuration(daemon=daemon, buses=(bus,))


@dataclass(frozen=True)
class _Entry:
    """A table [bus.NAME] as its file holds it."""

    file: File
    name: str
    table: dict[str, Any]

    @property
    def keys(self) -> KeyPath:
        return ("bus", self.name)

    @property
    def place(self) -> str:
        return f"{self.file.path}:{self.file.line(self.keys)}"


class _Loading:
    """One run of `load`: gathers problems while it goes on as far as it can."""

    def __init__(self, main: File) -> None:
        self.main = main
        included, self.problems = drop_ins(main)
        self.files = [main, *included]
        self.defaults: dict[str, Any] = {}

    def configuration(self) -> Configuration:
        self._top_level()
        daemon = self._daemon()
        self._take_defaults()
        entries = self._entries()
        buses = [bus for entry in entries.values() if (bus := self._bus(entry)) is not None]
        self._clashes(entries, buses)
        if self.problems:
            distinct: dict[object, Problem] = {}
            for problem in self.problems:
                distinct.setdefault(replace(problem, remedy=""), problem)
            problems = sorted(distinct.values(), key=self._place)
            raise ConfigurationError(problems)
        taken = named_adapters(buses)
        buses = [
            bus.model_copy(update={"taken": taken}) if isinstance(bus, AutoBus) else bus for bus in buses
        ]
        return Configuration.model_validate({"daemon": daemon, "buses": buses})

    def _place(self, problem: Problem) -> tuple[bool, str, int]:
        """Where a problem comes in the list: the main file first, the others by name."""
        return problem.path != self.main.path, problem.path, problem.line or 0

    def _report(self, file: File, keys: KeyPath, what: str, remedy: str) -> None:
        self.problems.append(file.problem(keys, what, remedy))

    def _top_level(self) -> None:
        for file in self.files:
            for key, value in file.tables.items():
                if key not in _TOP_LEVEL:
                    self._report(file, (key,), *sentences.unknown_at_top(key, value, _TOP_LEVEL))
                elif file is not self.main and key != "bus":
                    what = "a drop-in file holds tables [bus.NAME] only"
                    self._report(file, (key,), what, f"Move it to {self.main.path}.")

    def _table(self, file: File, key: str) -> dict[str, Any]:
        """The table `key`, empty where it is missing or something else."""
        table = file.tables.get(key, {})
        if isinstance(table, dict):
            return table
        header = "[bus.NAME]" if key == "bus" else f"[{key}]"
        what = f"{shortened(written(table))} is not a table"
        self._report(file, (key,), what, f"Write {header}, and the keys below it.")
        return {}

    def _daemon(self) -> Daemon:
        table = self._table(self.main, "daemon")
        if found := sentences.findings(Daemon, table):
            for keys, what, remedy in found:
                self._report(self.main, ("daemon", *keys), what, remedy)
            return Daemon()
        return Daemon.model_validate(table)

    def _take_defaults(self) -> None:
        """Keeps what is right in [defaults], so that no bus repeats what is wrong there."""
        for key, value in self._table(self.main, "defaults").items():
            if key == "interface":
                found = _interface_findings(value)
            else:
                found = sentences.findings_anywhere(key, value)
            for keys, what, remedy in found:
                self._report(self.main, ("defaults", *keys), what, remedy)
            if not found:
                self.defaults[key] = value

    def _entries(self) -> dict[str, _Entry]:
        """Every table [bus.NAME] by its name, in the order of the files."""
        entries: dict[str, _Entry] = {}
        for file in self.files:
            for name, table in self._table(file, "bus").items():
                entry = _Entry(file, name, table)
                if not isinstance(table, dict):
                    what = f"{shortened(written(table))} is not a table"
                    remedy = "Write [bus.NAME] above the keys of one bus, [defaults] above those of all."
                    self._report(file, entry.keys, what, remedy)
                elif (first := entries.get(name)) is not None:
                    what = f"this bus is defined already ({first.place})"
                    self._report(file, entry.keys, what, "Rename or remove one of the two.")
                else:
                    entries[name] = entry
        return entries

    def _bus(self, entry: _Entry) -> BusBase | None:
        """The bus of a table, its problems reported; where some remain, as much as clashes need."""
        named_well = self._named_well(entry)
        own = {key: value for key, value in entry.table.items() if key != "name"}
        own = _with_rest_of_record(own, self.defaults.get("record"))
        section = self._section(entry)
        if section is None:
            own.pop("interface", None)
            found = [each for key, value in own.items() for each in sentences.findings_anywhere(key, value)]
            self._report_bus(entry, found, {})
            return None
        inherited = self._inherited(section, own)
        table = {**inherited, **own, "name": entry.name if named_well else "bus"}
        if section is ReplayBus:
            table = _with_whole_path(table, self.main if "file" in inherited else entry.file)
        found = sentences.findings(section, table)
        self._report_bus(entry, found, inherited)
        wrong = {each.keys[0] for each in found}
        right = {key: value for key, value in table.items() if key not in wrong}
        # Checks of several keys together come last, and not at all where one key alone is wrong.
        further = [each for each in sentences.findings(section, right) if each.keys[0] not in wrong]
        if not wrong & _COMPARED:
            self._report_bus(entry, further if found else [], inherited)
        whole = named_well and not wrong & _CLASHING and not sentences.findings(section, right)
        return section.model_validate(right) if whole else None

    def _named_well(self, entry: _Entry) -> bool:
        """Whether the header's name can be used; reported where not, as is a name among the keys."""
        if "name" in entry.table:
            remedy = "Remove it: the name stands in the header [bus.NAME]."
            self._report(entry.file, (*entry.keys, "name"), "unknown key", remedy)
        if BUS_NAME.fullmatch(entry.name):
            return True
        what = f"{shortened(written(entry.name))} cannot be the name of a bus"
        remedy = "Use 1 to 32 letters, digits, _ and -, a letter or digit first."
        self._report(entry.file, entry.keys, what, remedy)
        return False

    def _section(self, entry: _Entry) -> type[BusBase] | None:
        """What the bus's interface makes of it; None, and reported, where there is no such thing."""
        interface = entry.table.get("interface", self.defaults.get("interface"))
        found = _interface_findings(interface)
        # A wrong one in [defaults] was reported there, and is not among what was kept of them.
        defaults = self.main.tables.get("defaults")
        if "interface" in entry.table or not (isinstance(defaults, dict) and "interface" in defaults):
            self._report_bus(entry, found, {})
        return None if found or not isinstance(interface, str) else section_of(interface)

    def _inherited(self, section: type[BusBase], own: dict[str, Any]) -> dict[str, Any]:
        """What [defaults] adds to a bus: keys that its interface has and its table does not."""
        inherited = {k: v for k, v in self.defaults.items() if k in section.key_fields() and k not in own}
        if own.get("fd", inherited.get("fd")) is not True:
            inherited.pop("data_bitrate", None)
        return inherited

    def _report_bus(self, entry: _Entry, found: list[sentences.Finding], inherited: dict[str, Any]) -> None:
        for keys, what, remedy in found:
            if keys[0] in inherited:
                self._report(self.main, ("defaults", *keys), what, remedy)
            else:
                self._report(entry.file, (*entry.keys, *keys), what, remedy)

    def _clashes(self, entries: dict[str, _Entry], buses: list[BusBase]) -> None:
        for clash in clashes(buses):
            first, second = entries[clash.first], entries[clash.second]
            what = f"{clash.what} ({first.place})"
            self._report(second.file, (*second.keys, clash.key), what, clash.remedy)


def _interface_findings(interface: object) -> list[sentences.Finding]:
    if isinstance(interface, str):
        return [] if section_of(interface) else [sentences.Finding(("interface",), *refusal(interface))]
    what = "the key is missing" if interface is None else f"{shortened(written(interface))} is not text"
    return [
        sentences.Finding(("interface",), what, 'Write interface = "socketcan", "slcan", "mock" or another.')
    ]


def _with_rest_of_record(own: dict[str, Any], defaults: Any) -> dict[str, Any]:
    """A bus's table `record` adds to that of [defaults]: it may say just what is different."""
    record = own.get("record")
    return {**own, "record": {**defaults, **record}} if isinstance(record, dict) and defaults else own


def _with_whole_path(table: dict[str, Any], origin: File) -> dict[str, Any]:
    """A log file is named relative to the file that names it: a worker may run in another folder."""
    file = table.get("file")
    return {**table, "file": str(origin.folder / file)} if file and isinstance(file, str) else table
