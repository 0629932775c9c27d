"""Loading: from the files to a `Configuration`, or to every mistake in them with its file and line.

The table of a bus is merged with [defaults], which keeps the origin of each key, and validated once. Each mistake
is reported at the origin of its key, so a mistake in [defaults] is reported there and once.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from cancorderd.adapters import registry
from cancorderd.adapters.auto_settings import AutoSettings
from cancorderd.config.bus_settings import BUS_NAME, BusSettings
from cancorderd.config.configuration import Configuration, DaemonSettings
from cancorderd.config.conflicts import conflicts, named_adapters, web_conflict
from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.config.problem import ConfigurationError, Problem, shortened, written
from cancorderd.config.record_settings import FOLDER as RECORDINGS
from cancorderd.config.schema import keys
from cancorderd.config.secret_files import file_findings
from cancorderd.config.toml_files import File, drop_ins, read
from cancorderd.config.validation import (
    Finding,
    interface_findings,
    unknown_at_top,
    validated,
    validated_anywhere,
)
from cancorderd.config.web_settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cancorderd.config.toml_positions import KeyPath

__all__ = ["ConfigurationError", "Problem", "load"]

Origins: TypeAlias = "dict[str, dict[str, str]]"
"""FILE:LINE by the name of the bus and the key."""

log = logging.getLogger("cancorderd")

MAX_BUSES = 4096
"""Each bus is a process, of which a machine can run some thousands."""
MAX_PROBLEMS = 2000
"""Mistakes that are reported at once. Reading on would take time and help nobody."""
_TOP_LEVEL = ("include", "daemon", "defaults", "forward", "bus", "web")
_NEEDED_FOR_CONFLICTS = frozenset(
    {"interface", "channel", "serial", "usb_port", "index", "bus", "address"}  # which adapter
    | {"listen", "enabled", "zeroconf", "options"}
)
"""If any of these keys is wrong, the bus is left out of the conflict checks."""


def load(
    path: str | os.PathLike[str], *, in_force: Configuration | None = None, pipe: bool = False
) -> Configuration:
    """Return the configuration in the file at `path` and its drop-ins. Raises ConfigurationError and nothing else.

    `in_force` is the configuration to be replaced, of which no file may have been emptied by accident. `pipe`:
    `path` may name a pipe.
    """
    try:
        return loaded(os.fsdecode(path), in_force=in_force, pipe=pipe)
    except ConfigurationError:
        raise
    except Exception as error:  # the daemon goes on with the configuration that it has
        log.exception("the configuration cannot be checked")
        fact = f"the file cannot be checked: {type(error).__name__}: {shortened(str(error))}"
        remedy = "This is an error of cancorderd: please report it with the file and the log."
        raise ConfigurationError([Problem(os.fsdecode(path), None, None, fact, remedy)]) from error


def loaded(path: str, *, in_force: Configuration | None, pipe: bool) -> Configuration:
    """Load as `load` does, without its last resort."""
    main = read(path, pipe=pipe)
    if isinstance(main, Problem):
        raise ConfigurationError([main])
    return _Loading(main, in_force).configuration()


def loaded_with_origins(path: str) -> tuple[Configuration, Origins]:
    """Return the configuration, and where each key of each bus stands, as FILE:LINE. Raises ConfigurationError.

    A key that stands nowhere has its default value.
    """
    main = read(path)
    if isinstance(main, Problem):
        raise ConfigurationError([main])
    loading = _Loading(main, None)
    return loading.configuration(), loading.origins


@dataclass(frozen=True)
class _Table:
    """A table of a file, and the keys that lead to it."""

    file: File
    keys: KeyPath
    values: dict[str, Any]

    @property
    def place(self) -> str:
        return f"{self.file.path}:{self.file.line(self.keys)}"

    def places(self) -> dict[str, str]:
        """Return the place of each key."""
        return {key: f"{self.file.path}:{self.file.line((*self.keys, key))}" for key in self.values}

    def only(self, names: Iterable[str]) -> _Table:
        return replace(self, values={key: value for key, value in self.values.items() if key in names})

    def with_whole_paths(self, kind: type[BusSettings]) -> dict[str, Any]:
        """Return the values with paths that start at the root: a worker may run in another folder."""
        paths = {name for name, key in keys(kind).items() if key.key.relative_path}
        return {
            key: str(self.file.folder / value) if key in paths and value and isinstance(value, str) else value
            for key, value in self.values.items()
        }


class _TooManyProblemsError(Exception):
    """There are MAX_PROBLEMS problems already."""


class _Loading:
    """One run of `load`. Gathers problems and goes on as far as possible."""

    def __init__(self, main: File, in_force: Configuration | None) -> None:
        self.main = main
        included, self.problems = drop_ins(main)
        self.files = [main, *included]
        self.in_force = in_force
        self.interfaces = registry.interfaces()
        self.origins: Origins = {}
        self.defaults = _Table(main, ("defaults",), {})
        """Right keys of [defaults]: buses do not repeat its mistakes."""

    def configuration(self) -> Configuration:
        try:
            configuration = self._checked()
        except _TooManyProblemsError:
            fact = f"there are more than {MAX_PROBLEMS} mistakes"
            last = Problem(self.main.path, None, None, fact, "Correct these first.")
            raise ConfigurationError([*self._distinct_problems(), last]) from None
        if self.problems:
            raise ConfigurationError(self._distinct_problems())
        return configuration

    def _checked(self) -> Configuration:
        """Return the configuration, which counts if there are no problems."""
        self._check_files()
        self._check_top_level()
        daemon = self._daemon()
        forward = self._forward()
        self._read_defaults()
        tables = self._bus_tables()
        buses = [bus for name, table in tables.items() if (bus := self._bus(name, table)) is not None]
        self._report_conflicts(tables, buses)
        web = self._web(tables, buses)
        named = named_adapters(buses)
        buses = [replace(bus, taken=named) if isinstance(bus, AutoSettings) else bus for bus in buses]
        return Configuration(
            daemon,
            tuple(_with_recordings_in(daemon.state_dir, bus) for bus in buses),
            forward,
            frozenset(table.file.whole_path for table in tables.values()),
            web,
        )

    def _check_files(self) -> None:
        """Report what concerns a file as a whole, and text that no key can have."""
        for file in self.files:
            self.problems += file.problems
            if self.in_force is not None and file.is_blank:
                self._report_blank(file, self.in_force)
            for path, text in _texts(file.tables, ()):
                if "\0" in text and path[0] != "include":
                    self._add(file, path, "the text holds a NUL character", r"Remove \u0000 from it.")

    def _report_blank(self, file: File, in_force: Configuration) -> None:
        """Report a file that a full disk or an interrupted editor may have emptied."""
        fact = "the file holds nothing but blanks and comments"
        if file is self.main:
            remedy = "Restore it, or write [daemon] in it if there should be no bus."
            self.problems.append(Problem(file.path, None, None, fact, remedy))
        elif file.whole_path in in_force.files:
            remedy = "Restore it, or remove the file if its buses should go."
            self.problems.append(
                Problem(file.path, None, None, f"{fact}, and buses in force came from it", remedy)
            )

    def _bus(self, name: str, table: _Table) -> BusSettings | None:
        """Return the bus of a table, as far as it takes part in conflicts; its problems are reported."""
        named = self._check_name(name, table)
        kind = self._settings_class(table)
        if kind is None:
            return None
        own, inherited = self._merged(kind, table)
        self.origins[name] = inherited.places() | own.places()
        values = inherited.with_whole_paths(kind) | own.with_whole_paths(kind)
        settings, findings = validated(kind, {**values, "name": name if named else "bus"})
        for finding in findings:
            self._report(inherited if finding.keys[0] in inherited.values else table, finding)
        wrong = {finding.keys[0] for finding in findings}
        return settings if named and not wrong & _NEEDED_FOR_CONFLICTS else None

    def _merged(self, kind: type[BusSettings], table: _Table) -> tuple[_Table, _Table]:
        """Return the keys of a bus by origin: those of its own table, and those that it has from [defaults]."""
        own = {key: value for key, value in table.values.items() if key != "name"}
        if isinstance(own.get("record"), dict) and (record := self.defaults.values.get("record")):
            own["record"] = {**_without_other_limit(record, own["record"]), **own["record"]}
        names = [key for key in self.defaults.values if key in keys(kind) and key not in own]
        if own.get("fd", self.defaults.values.get("fd")) is not True:
            names = [key for key in names if key != "data_bitrate"]
        return replace(table, values=own), self.defaults.only(names)

    def _settings_class(self, table: _Table) -> type[BusSettings] | None:
        """Return the settings class of a bus, or None if its interface is wrong; then report the mistakes of all keys."""
        interface = table.values.get("interface", self.defaults.values.get("interface"))
        findings = interface_findings(interface, self.interfaces)
        # A wrong interface in [defaults] was reported there.
        if "interface" in table.values or not _has_interface(self.main.tables.get("defaults")):
            for finding in findings:
                self._report(table, finding)
        if isinstance(interface, str) and not findings:
            return registry.adapter_of(interface).settings_class()
        for key, value in table.values.items():
            if key not in ("interface", "name"):
                for finding in validated_anywhere(key, value):
                    self._report(table, finding)
        return None

    def _check_name(self, name: str, table: _Table) -> bool:
        """Return whether the header's name can be used. Report a bad name, and a key `name`."""
        if "name" in table.values:
            remedy = "Remove it: the name stands in the header [bus.NAME]."
            self._report(table, Finding(("name",), "unknown key", remedy))
        if BUS_NAME.fullmatch(name):
            return True
        fact = f"{shortened(written(name))} cannot be the name of a bus"
        remedy = "Use 1 to 32 letters, digits, _ and -, a letter or digit first."
        self._report(table, Finding((), fact, remedy))
        return False

    def _check_top_level(self) -> None:
        for file in self.files:
            for key, value in file.tables.items():
                if key not in _TOP_LEVEL:
                    self._add(file, (key,), *unknown_at_top(key, value, _TOP_LEVEL))
                elif file is not self.main and key != "bus":
                    fact = "a drop-in file holds tables [bus.NAME] only"
                    self._add(file, (key,), fact, f"Move it to {self.main.path}.")

    def _daemon(self) -> DaemonSettings:
        table = self._table(self.main, "daemon")
        settings, findings = validated(DaemonSettings, table.values)
        for finding in findings:
            self._report(table, finding)
        return settings or DaemonSettings()

    def _web(self, tables: Mapping[str, _Table], buses: list[BusSettings]) -> WebSettings | None:
        if "web" not in self.main.tables:
            return None
        table = self._table(self.main, "web")
        settings, findings = validated(WebSettings, table.values)
        for finding in findings:
            self._report(table, finding)
        if settings and (conflict := web_conflict(settings, buses)):
            fact = f"{conflict.fact} ({tables[conflict.first].place})"
            self._report(table, Finding((conflict.key,), fact, conflict.remedy))
        return settings

    def _forward(self) -> ForwardSettings | None:
        if "forward" not in self.main.tables:
            return None
        table = self._table(self.main, "forward")
        settings, findings = validated(ForwardSettings, table.values)
        for finding in (*findings, *file_findings(table.values)):
            self._report(table, finding)
        return settings

    def _read_defaults(self) -> None:
        table = self._table(self.main, "defaults")
        right = []
        for key, value in table.values.items():
            findings = (
                interface_findings(value, self.interfaces)
                if key == "interface"
                else validated_anywhere(key, value)
            )
            for finding in findings:
                self._report(table, finding)
            if not findings:
                right.append(key)
        self.defaults = table.only(right)

    def _bus_tables(self) -> dict[str, _Table]:
        """Return every table [bus.NAME] by its name, in the order of the files."""
        tables: dict[str, _Table] = {}
        for file in self.files:
            for name, values in self._table(file, "bus").values.items():
                table = _Table(file, ("bus", name), values)
                if not isinstance(values, dict):
                    fact = f"{shortened(written(values))} is not a table"
                    remedy = "Write [bus.NAME] above the keys of one bus, [defaults] above those of all."
                    self._report(table, Finding((), fact, remedy))
                elif (first := tables.get(name)) is not None:
                    fact = f"this bus is defined already ({first.place})"
                    self._report(table, Finding((), fact, "Rename or remove one of the two."))
                elif len(tables) == MAX_BUSES:
                    self._report(table, Finding((), f"there are more than {MAX_BUSES} buses", "Remove some."))
                    return tables
                else:
                    tables[name] = table
        return tables

    def _table(self, file: File, key: str) -> _Table:
        """Return the table `key`, empty if it is missing or something else."""
        values = file.tables.get(key, {})
        if isinstance(values, dict):
            return _Table(file, (key,), values)
        header = "[bus.NAME]" if key == "bus" else f"[{key}]"
        fact = f"{shortened(written(values))} is not a table"
        self._add(file, (key,), fact, f"Write {header}, and the keys below it.")
        return _Table(file, (key,), {})

    def _report_conflicts(self, tables: dict[str, _Table], buses: list[BusSettings]) -> None:
        for conflict in conflicts(buses):
            first, second = tables[conflict.first], tables[conflict.second]
            fact = f"{conflict.fact} ({first.place})"
            self._report(second, Finding((conflict.key,), fact, conflict.remedy))

    def _report(self, table: _Table, finding: Finding) -> None:
        self._add(table.file, (*table.keys, *finding.keys), finding.fact, finding.remedy)

    def _add(self, file: File, path: KeyPath, fact: str, remedy: str) -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            raise _TooManyProblemsError
        if not file.leaves_out(path):
            self.problems.append(file.problem(path, fact, remedy))

    def _distinct_problems(self) -> list[Problem]:
        """Return each problem once, the main file's first, then by file and line."""
        distinct: dict[Problem, Problem] = {}
        for problem in self.problems:
            distinct.setdefault(replace(problem, remedy=""), problem)
        return sorted(distinct.values(), key=lambda p: (p.path != self.main.path, p.path, p.line or 0))


def _texts(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Yield every text in a table, with the keys that lead to it."""
    match value:
        case str():
            yield path, value
        case dict():
            for key, item in value.items():
                yield from _texts(item, (*path, key))
        case list():
            for at, item in enumerate(value):
                yield from _texts(item, (*path, at))


def _with_recordings_in(state_dir: str, bus: BusSettings) -> BusSettings:
    """Return the settings with the folder of the bus's recordings, which is in `state_dir` if it is left out."""
    if bus.record is None or bus.record.directory is not None:
        return bus
    return replace(bus, record=replace(bus.record, directory=os.path.join(state_dir, RECORDINGS)))


def _without_other_limit(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inherited keys of `record` without the limit that the bus sets in another form: keep or max_mb."""
    other = {"keep": "max_mb", "max_mb": "keep"}
    return {key: value for key, value in inherited.items() if other.get(key) not in own}


def _has_interface(defaults: object) -> bool:
    return isinstance(defaults, dict) and "interface" in defaults
