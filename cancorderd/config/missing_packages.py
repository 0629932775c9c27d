"""Python packages that a configuration needs and that are missing: a mistake for `check`; the daemon serves the buses all the same."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cancorderd.adapters.replay_settings import ReplaySettings
from cancorderd.config.loading import load, loaded_with_origins
from cancorderd.config.problem import ConfigurationError, Problem, dotted
from cancorderd.python_packages import install_command, is_installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.configuration import Configuration

_MF4 = "asammdf"


def load_with_packages(path: str, *, pipe: bool = False) -> Configuration:
    """Return the configuration as `loading.load` does. Raises ConfigurationError, also for packages that are missing."""
    configuration = load(path, pipe=pipe)
    if is_installed(_MF4):
        return configuration
    uses = [(bus.name, keys) for bus in configuration.buses for keys in _uses_of_mf4(bus)]
    if not uses:
        return configuration
    # Read again for the lines, which a pipe cannot be.
    origins = loaded_with_origins(path)[1] if os.path.isfile(path) else {}
    fact = f"mf4 needs the Python package {_MF4}, which is not installed"
    remedy = f"Install it: {install_command(_MF4)}"
    problems = []
    for bus, keys in uses:
        file, _, line = origins.get(bus, {}).get(keys[0], "").rpartition(":")
        key = dotted(("bus", bus, *keys))
        problems.append(Problem(file or path, int(line) if file else None, key, fact, remedy))
    raise ConfigurationError(problems)


def _uses_of_mf4(bus: BusSettings) -> Iterator[tuple[str, ...]]:
    """Yield the keys that name this format."""
    if bus.record and bus.record.format == "mf4":
        yield "record", "format"
    if isinstance(bus, ReplaySettings) and bus.file.lower().removesuffix(".gz").endswith(".mf4"):
        yield ("file",)
