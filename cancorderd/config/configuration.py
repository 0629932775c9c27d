"""The configuration as a value: the daemon's settings and the buses in the order of the files. Pure.

Files and line numbers are the business of `loading`. Times are seconds, sizes bytes, rates bit/s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cancorderd.config.schema import SIZE, AbsolutePath, Key, Settings, SocketPath

if TYPE_CHECKING:
    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.forward_settings import ForwardSettings
    from cancorderd.config.web_settings import WebSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings(Settings):
    """The supervisor's own settings: the table [daemon]."""

    control_socket: Annotated[
        SocketPath, Key("Path of the Unix socket for cancorderctl.")
    ] = "/run/cancorder/control.sock"  # fmt: skip
    state_dir: Annotated[
        AbsolutePath, Key("Folder of the remembered automatic ports, of the spool and, by default, of recordings.")
    ] = "/var/lib/cancorder"  # fmt: skip
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Key("Least serious messages to log: debug, info, warning or error."),
    ] = "info"
    backlog_total: Annotated[
        int | None,
        Key(
            "Bytes kept for all clients of all buses that read too slowly, at least 1048576; by default an eighth of the "
            "memory.",
            SIZE, ge=1 << 20, example=256 << 20,
        ),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class Configuration:
    """Everything that is in force. [defaults] are merged into the buses."""

    daemon: DaemonSettings = DaemonSettings()
    buses: tuple[BusSettings, ...] = ()
    forward: ForwardSettings | None = None
    """None: no table [forward]."""
    files: frozenset[str] = frozenset()
    """Whole paths of the files that hold the buses."""
    web: WebSettings | None = None
    """The page for browsers, if there is one."""
