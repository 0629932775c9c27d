"""Settings of gs_usb buses, and their sources."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cancorderd.adapters.gs_usb.settings import GsUsbSettings
from cancorderd.adapters.gs_usb.source import GsUsbSource

if TYPE_CHECKING:
    from collections.abc import Iterator


def gs_usb_settings(**keys: Any) -> GsUsbSettings:
    return GsUsbSettings(name="test", interface="gs_usb", **keys)


@contextmanager
def opened(**keys: Any) -> Iterator[GsUsbSource]:
    source = GsUsbSource(gs_usb_settings(**keys))
    try:
        yield source
    finally:
        source.close()
        source.close()
