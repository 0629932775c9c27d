"""Modules that each process loads: workers stay small, `cancorderctl` answers at once, the supervisor touches no CAN."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from typing import Any

import pytest

from cancorderd.adapters import registry
from tests.support.harness import ROOT

HEAVY = {"aiohttp", "asyncio", "can", "ctypes", "pydantic", "rich", "serial", "ssl", "usb", "zeroconf"}
LIMITS = {"cancorderd.simulator", "cancorderd.simulator.limits", "cancorderd.simulator.frame_duration"}
SETTINGS_ONLY = ("settings", "registry", "candidate", "python_can_interfaces", "moments")


def loaded(script: str) -> set[str]:
    """Return every module that a script loads."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}\nprint(*sys.modules)"],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def worker_script(interface: str, **keys: object) -> str:
    """Return a script that does what a worker does until it opens its source."""
    values = {"name": "a", "interface": interface, **keys}
    return (
        "import json, cancorderd.worker.__main__\n"
        "from cancorderd.adapters.registry import open_source\n"
        "from cancorderd.config.settings_json import from_json\n"
        f"settings = from_json(json.dumps({values!r}))\n"
        "try: open_source(settings)\n"
        "except Exception: pass"
    )


WORKERS: dict[str, tuple[dict[str, Any], set[str] | None]] = {
    "mock": ({}, set()),
    "slcan": ({"channel": "/nowhere"}, {"serial"}),
    "socketcan": ({"channel": "nowhere0"}, {"ctypes"}),
    "toucan": ({"library": "/nowhere"}, {"ctypes"}),
    "gs_usb": ({"serial": "NONE"}, {"ctypes", "usb"}),
    "auto": ({"taken": ["gs_usb"]}, {"ctypes", "serial", "usb"}),
    "replay": ({"file": "/nowhere.log"}, None),
    "nats": (
        {"url": ["nats://127.0.0.1:1"], "gateway": "truck", "bus": "body"},
        {"aiohttp", "asyncio", "ctypes", "ssl"},  # nats-py loads aiohttp for its websockets, if it is there
    ),
}
"""Keys of a bus by interface, and the heavy modules that its worker may load (None: any, through python-can)."""


def test_every_adapter_is_tried() -> None:
    assert set(WORKERS) == set(registry.ADAPTERS)


@pytest.mark.parametrize("interface", WORKERS)
def test_worker_loads_only_its_own_adapter_and_no_pydantic(interface: str) -> None:
    keys, allowed = WORKERS[interface]
    modules = loaded(worker_script(interface, **keys))
    assert "pydantic" not in modules
    if allowed is not None:
        assert modules & HEAVY <= allowed
    own = f"cancorderd.adapters.{interface}"
    folders = {f"cancorderd.adapters.{name}" for name in registry.ADAPTERS}
    assert folders & modules <= (folders if interface == "auto" else {own})
    assert interface == "mock" or not [name for name in modules if name.startswith("cancorderd.simulator")]


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("cancorderd.worker.__main__", set()),
        ("cancorderd.worker.recording_feed", set()),
        ("cancorderd.client", set()),
        ("cancorderd.cli.cancorderctl", set()),
    ],
)
def test_loads_nothing_heavy(module: str, allowed: set[str]) -> None:
    assert loaded(f"import {module}") & HEAVY <= allowed


def test_worker_loads_nothing_of_recording_and_nothing_of_python_can() -> None:
    modules = loaded("import cancorderd.worker.__main__")
    assert not modules & {"subprocess", "cancorderd.worker.recording_feed"}
    feed = loaded("import cancorderd.worker.recording_feed")
    assert not [name for name in feed if name.startswith("cancorderd.recorder")]


SUPERVISOR = f"""
import cancorderd.daemon
from cancorderd.config.demo import demo
from cancorderd.config.load_process import LoadProcess
demo("/tmp/a.sock", "/tmp")
LoadProcess({str(ROOT / "etc/cancorder.toml")!r}).wait()
"""


def test_supervisor_loads_neither_worker_nor_sources_nor_simulator_nor_can() -> None:
    every = loaded(SUPERVISOR)
    assert not every & {"pydantic", "pydantic_core"}, (
        "a process of its own validates, and gives its memory back"
    )
    modules = {name for name in every if name.startswith("cancorderd.")}
    assert not [name for name in modules if name.startswith(("cancorderd.worker", "cancorderd.recorder"))]
    assert {name for name in modules if name.startswith("cancorderd.simulator")} <= LIMITS
    folders = {
        f"cancorderd.adapters.{name}"
        for name in registry.ADAPTERS
        if (ROOT / "cancorderd/adapters" / name).is_dir()
    }
    adapters = {name for name in modules if name.startswith("cancorderd.adapters.")} - folders
    assert not [name for name in adapters if not name.endswith(SETTINGS_ONLY)]


def test_supervisor_loads_no_simulator_before_a_mock_bus_is_configured() -> None:
    modules = loaded("import cancorderd.daemon")
    assert not [name for name in modules if name.startswith("cancorderd.simulator")]
    assert not modules & {"can", "gs_usb", "serial", "usb", "pyroute2"}


def test_status_loads_neither_can_nor_configuration_libraries() -> None:
    modules = loaded(
        "from cancorderd.cli.cancorderctl import main\n"
        "try: main(['--socket', '/nowhere', 'status'])\n"
        "except SystemExit: pass"
    )
    assert not modules & {"can", "pydantic", "pydantic_core", "annotated_types", "tomllib", "tomli_w"}
    assert not modules & {"asyncio", "dataclasses", "datetime", "email", "http", "tempfile"}, (
        "it answers at once"
    )
    assert not [name for name in modules if name.startswith(("cancorderd.config", "cancorderd.adapters"))]


def module_name(parts: tuple[str, ...]) -> str:
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_modules_import_each_other_without_cycles() -> None:
    files = {
        module_name(path.relative_to(ROOT).with_suffix("").parts): path
        for path in (ROOT / "cancorderd").rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        found = graph.setdefault(name, set())
        for node in ast.parse(
            path.read_text()
        ).body:  # what is inside functions or TYPE_CHECKING runs later or never
            if isinstance(node, ast.ImportFrom) and node.module in files:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & files.keys()
                found |= inner or {node.module}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names} & files.keys()
    assert tuple(graphlib.TopologicalSorter(graph).static_order())
