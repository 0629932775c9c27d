from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from cancorderd.config.model import Bus
from cancorderd.report import section_from_json

if TYPE_CHECKING:
    from collections.abc import Callable

Section = Any


@pytest.fixture
def section() -> Callable[..., Section]:
    """Makes a bus section as a worker gets it: checked by its model, sent as JSON."""

    def make(interface: str, **keys: Any) -> Section:
        checked = TypeAdapter(Bus).validate_python({"name": "test", "interface": interface, **keys})
        return section_from_json(checked.model_dump_json())

    return make
