"""The configuration of `cancorderd --demo`, which needs no file. Without pydantic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.config.configuration import Configuration, DaemonSettings

if TYPE_CHECKING:
    import os


def demo(
    control_socket: str | os.PathLike[str],
    state_dir: str | os.PathLike[str],
    *,
    listen: tuple[str, ...] | None = None,
) -> Configuration:
    """Return a configuration with one mock bus that starts with its first client; `listen`: on these addresses alone."""
    bus = MockSettings(name="demo", interface="mock", start="client")
    if listen is not None:
        bus = replace(bus, listen=listen)
    daemon = DaemonSettings(
        control_socket=str(Path(control_socket).absolute()), state_dir=str(Path(state_dir).absolute())
    )
    return Configuration(daemon, (bus,))
