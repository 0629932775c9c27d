"""Modules that nats-py would load and nobody uses stay out of processes that talk to a hub."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cancorderd.hub.absent_module import absent

pytest.importorskip("nats")


def test_import_fails_within_the_block_alone() -> None:
    with absent("wave"), pytest.raises(ModuleNotFoundError):
        import wave
    import wave

    assert wave.__name__ == "wave"


def test_module_that_is_there_stays() -> None:
    with absent("sys"):
        import sys as same

    assert same.modules["sys"] is same


@pytest.mark.parametrize("module", ["cancorderd.hub.connection", "cancorderd.adapters.nats.reader_thread"])
def test_aiohttp_is_not_loaded_for_a_hub(module: str) -> None:
    code = f"import sys, {module}; assert 'aiohttp' not in sys.modules; import aiohttp"
    subprocess.run([sys.executable, "-c", code], check=True)
