"""The adapters: a row for each interface.

The functions of a row import the adapter when they are called, so importing the registry imports no adapter. The
page README.md in this folder describes how to add an adapter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.adapters.base import ArrivalWatch, Source
    from cancorderd.adapters.candidate import Candidate
    from cancorderd.adapters.scan import ScanOptions, ScanResult
    from cancorderd.config.bus_settings import BusSettings

S = TypeVar("S", bound="BusSettings")


class Adapter(NamedTuple):
    """An interface and the functions that import its adapter. The optional ones are None if there is nothing to do."""

    name: str
    settings_class: Callable[[], type[BusSettings]]
    open_source: Callable[[BusSettings], Source]
    """Raises AdapterAbsent, SettingsRefused or BusError."""
    open_watch: Callable[[BusSettings], ArrivalWatch | None] | None = None
    """Watch for an absent adapter. Raises OSError."""
    scan: Callable[[ScanOptions], ScanResult] | None = None
    """Find adapters for `cancorderctl detect`. Raises ImportError, OSError or BusFailure."""
    candidates: Callable[[], list[Candidate]] | None = None
    """Find adapters that a bus with interface "auto" may open. Raises ImportError, OSError or BusFailure."""


def _narrowed(settings: BusSettings, kind: type[S]) -> S:
    if not isinstance(settings, kind):
        raise TypeError(f"{settings} are not {kind.__name__}")
    return settings


def _socketcan_settings() -> type[BusSettings]:
    from cancorderd.adapters.socketcan.settings import SocketcanSettings

    return SocketcanSettings


def _socketcan(settings: BusSettings) -> Source:
    from cancorderd.adapters.socketcan.settings import SocketcanSettings
    from cancorderd.adapters.socketcan.source import SocketcanSource

    return SocketcanSource(_narrowed(settings, SocketcanSettings))


def _socketcan_watch(settings: BusSettings) -> ArrivalWatch | None:
    from cancorderd.adapters.socketcan.netlink import open_watch
    from cancorderd.adapters.socketcan.settings import SocketcanSettings

    return open_watch(_narrowed(settings, SocketcanSettings))


def _socketcan_scan(options: ScanOptions) -> ScanResult:
    from cancorderd.adapters.socketcan.scan import scan

    return scan(options)


def _socketcan_candidates() -> list[Candidate]:
    from cancorderd.adapters.socketcan import scan

    return scan.candidates(scan.links())


def _slcan_settings() -> type[BusSettings]:
    from cancorderd.adapters.slcan.settings import SlcanSettings

    return SlcanSettings


def _slcan(settings: BusSettings) -> Source:
    from cancorderd.adapters.slcan.settings import SlcanSettings
    from cancorderd.adapters.slcan.source import SlcanSource

    return SlcanSource(_narrowed(settings, SlcanSettings))


def _slcan_scan(options: ScanOptions) -> ScanResult:
    from cancorderd.adapters.slcan.scan import scan

    return scan(options)


def _slcan_candidates() -> list[Candidate]:
    from cancorderd.adapters.slcan import scan

    return scan.candidates(scan.ports())


def _toucan_settings() -> type[BusSettings]:
    from cancorderd.adapters.toucan.settings import ToucanSettings

    return ToucanSettings


def _toucan(settings: BusSettings) -> Source:
    from cancorderd.adapters.toucan.settings import ToucanSettings
    from cancorderd.adapters.toucan.source import ToucanSource

    return ToucanSource(_narrowed(settings, ToucanSettings))


def _gs_usb_settings() -> type[BusSettings]:
    from cancorderd.adapters.gs_usb.settings import GsUsbSettings

    return GsUsbSettings


def _gs_usb(settings: BusSettings) -> Source:
    from cancorderd.adapters.gs_usb.settings import GsUsbSettings
    from cancorderd.adapters.gs_usb.source import GsUsbSource

    return GsUsbSource(_narrowed(settings, GsUsbSettings))


def _gs_usb_scan(options: ScanOptions) -> ScanResult:
    from cancorderd.adapters.gs_usb.scan import scan

    return scan(options)


def _gs_usb_candidates() -> list[Candidate]:
    from cancorderd.adapters.gs_usb import scan, usb_devices

    return scan.candidates(usb_devices.adapters())


def _mock_settings() -> type[BusSettings]:
    from cancorderd.adapters.mock_settings import MockSettings

    return MockSettings


def _mock(settings: BusSettings) -> Source:
    from cancorderd.adapters.mock import MockSource
    from cancorderd.adapters.mock_settings import MockSettings

    return MockSource(_narrowed(settings, MockSettings))


def _replay_settings() -> type[BusSettings]:
    from cancorderd.adapters.replay_settings import ReplaySettings

    return ReplaySettings


def _replay(settings: BusSettings) -> Source:
    from cancorderd.adapters.replay import ReplaySource
    from cancorderd.adapters.replay_settings import ReplaySettings

    return ReplaySource(_narrowed(settings, ReplaySettings))


def _nats_settings() -> type[BusSettings]:
    from cancorderd.adapters.nats.settings import NatsSettings

    return NatsSettings


def _nats(settings: BusSettings) -> Source:
    from cancorderd.adapters.nats.settings import NatsSettings
    from cancorderd.adapters.nats.source import NatsSource

    return NatsSource(_narrowed(settings, NatsSettings))


def _auto_settings() -> type[BusSettings]:
    from cancorderd.adapters.auto_settings import AutoSettings

    return AutoSettings


def _auto(settings: BusSettings) -> Source:
    from cancorderd.adapters import auto
    from cancorderd.adapters.auto_settings import AutoSettings

    rows = [ADAPTERS[name] for name in auto.ORDER]
    return auto.open_source(_narrowed(settings, AutoSettings), rows)


def _python_can_settings() -> type[BusSettings]:
    from cancorderd.adapters.python_can_settings import PythonCanSettings

    return PythonCanSettings


def _python_can(settings: BusSettings) -> Source:
    from cancorderd.adapters.python_can import PythonCanSource
    from cancorderd.adapters.python_can_settings import PythonCanSettings

    return PythonCanSource(_narrowed(settings, PythonCanSettings))


def _python_can_scan(options: ScanOptions) -> ScanResult:
    from cancorderd.adapters.python_can_scan import scan

    return scan(options)


_ROWS = (
    Adapter(
        "socketcan",
        _socketcan_settings,
        _socketcan,
        open_watch=_socketcan_watch,
        scan=_socketcan_scan,
        candidates=_socketcan_candidates,
    ),
    Adapter("gs_usb", _gs_usb_settings, _gs_usb, scan=_gs_usb_scan, candidates=_gs_usb_candidates),
    Adapter("slcan", _slcan_settings, _slcan, scan=_slcan_scan, candidates=_slcan_candidates),
    Adapter("toucan", _toucan_settings, _toucan),
    Adapter("mock", _mock_settings, _mock),
    Adapter("replay", _replay_settings, _replay),
    Adapter("nats", _nats_settings, _nats),
    Adapter("auto", _auto_settings, _auto),
)
ADAPTERS = {row.name: row for row in _ROWS}
PYTHON_CAN = Adapter("python-can", _python_can_settings, _python_can, scan=_python_can_scan)
"""Serves every interface of python-can that has no row of its own."""


def adapter_of(interface: str) -> Adapter:
    """Return the row of an interface that exists."""
    return ADAPTERS.get(interface, PYTHON_CAN)


def interfaces() -> tuple[str, ...]:
    """Return the name of every interface that a bus can have."""
    from cancorderd.adapters import python_can_interfaces

    return (*ADAPTERS, *python_can_interfaces.INTERFACES, *python_can_interfaces.plugins())


def settings_class(interface: str) -> type[BusSettings] | None:
    """Return the settings class of an interface, or None if there is no such interface."""
    known = interface in ADAPTERS or interface in interfaces()
    return adapter_of(interface).settings_class() if known else None


def settings_classes() -> tuple[type[BusSettings], ...]:
    """Return the settings class of every row."""
    return tuple(row.settings_class() for row in (*_ROWS, PYTHON_CAN))


def open_source(settings: BusSettings) -> Source:
    """Open the bus that `settings` describe. Raises AdapterAbsent, SettingsRefused or BusError."""
    return adapter_of(settings.interface).open_source(settings)


def open_watch(settings: BusSettings) -> ArrivalWatch | None:
    """Watch for the absent adapter of a bus; None if its interface has no watch. Raises OSError."""
    watch = adapter_of(settings.interface).open_watch
    return watch(settings) if watch else None
