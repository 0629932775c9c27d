"""The museums, in the order of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.firmware import databases, gs_usb, logs, python_can, slcan, toucan

if TYPE_CHECKING:
    from tests.firmware.exhibit import Museum

_MODULES: tuple[Any, ...] = (slcan, gs_usb, toucan, python_can, logs, databases)

MUSEUMS: dict[str, Museum] = {module.__name__.rpartition(".")[2]: module for module in _MODULES}
