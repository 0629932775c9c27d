"""Every adapter that can be found on this machine, in one list: the scans of all adapters, at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cancorderd.adapters.failures import BusFailure
from cancorderd.adapters.registry import ADAPTERS, PYTHON_CAN
from cancorderd.adapters.scan import ScanResult
from cancorderd.printable import error_text, printable

if TYPE_CHECKING:
    from cancorderd.adapters.registry import Adapter
    from cancorderd.adapters.scan import FoundAdapter, ScanOptions


def detect(options: ScanOptions) -> ScanResult:
    """Scan for every kind of adapter, in the order of the registry. Raises nothing: failures become notes."""
    adapters = [adapter for adapter in (*ADAPTERS.values(), PYTHON_CAN) if adapter.scan]
    with ThreadPoolExecutor(max_workers=len(adapters)) as pool:
        results = list(pool.map(lambda adapter: _scan(adapter, options), adapters))
    return ScanResult(
        [_printable_texts(found) for result in results for found in result.found],
        [printable(note) for result in results for note in result.notes],
    )


def _printable_texts(found: FoundAdapter) -> FoundAdapter:
    """Return the adapter with printable texts: makers and adapters choose their names and serial numbers freely."""
    texts = {field: printable(text) for field, text in found._asdict().items() if isinstance(text, str)}
    keys = found.keys and {
        key: printable(value) if isinstance(value, str) else value for key, value in found.keys.items()
    }
    return found._replace(**texts, keys=keys)


def _scan(adapter: Adapter, options: ScanOptions) -> ScanResult:
    if adapter.scan is None:
        return ScanResult([])
    try:
        return adapter.scan(options)
    except (ImportError, BusFailure) as error:
        reason = error_text(error)
    except OSError as error:
        reason = error.strerror or error_text(error)
    return ScanResult([], [f"{adapter.name} adapters could not be searched for: {reason.rstrip('.')}."])
