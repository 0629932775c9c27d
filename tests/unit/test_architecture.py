"""cancorderd/README.md, the architecture: the files that it names exist, and folders import what it says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cancorderd"
PAGE = (PACKAGE / "README.md").read_text()
FILES = sorted(set(re.findall(r"`((?:\w+/)*\w+\.py|(?:\w+/)+)`", PAGE)))
_FOLDERS = PAGE.partition("## Folders")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| `([\w.]+)/?` \| [^|]+ \| ([^|]+) \|$", _FOLDERS, re.MULTILINE)
PARTS = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} | {"daemon.py"}

OUTSIDE_WORLD = {
    "aiohttp", "asyncio", "can", "select", "selectors", "serial", "signal", "socket", "subprocess",
    "threading", "usb", "zeroconf",
}  # fmt: skip


def part_of(module: str) -> str:
    """The folder or file of the package in which a module is; empty for the package itself."""
    name = module.removeprefix("cancorderd").removeprefix(".").partition(".")[0]
    return f"{name}.py" if name == "daemon" else name


def imported(file: Path) -> set[str]:
    """Modules of ours that a file imports, at any time, for more than annotations."""
    tree = ast.parse(file.read_text())
    annotations = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in annotations:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cancorderd"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("cancorderd")}
    return found


def files_of(part: str) -> list[Path]:
    return [PACKAGE / part] if part.endswith(".py") else sorted((PACKAGE / part).rglob("*.py"))


def imports(part: str) -> set[str]:
    parts = {part_of(module) for file in files_of(part) for module in imported(file)}
    return (parts & PARTS) - {part}


def allowed(part: str, text: str) -> set[str]:
    named = {name.removesuffix("/") for name in re.findall(r"`([\w./]+)`", text)}
    if text.startswith("every folder but"):
        return PARTS - named - {part}
    return named


@pytest.mark.parametrize("file", FILES)
def test_file_that_the_architecture_names_exists(file: str) -> None:
    assert (PACKAGE / file).exists()


def test_every_part_has_a_row() -> None:
    assert {part for part, _ in ROWS} == PARTS


@pytest.mark.parametrize(("part", "text"), ROWS, ids=[part for part, _ in ROWS])
def test_part_imports_what_the_architecture_says(part: str, text: str) -> None:
    found = imports(part)
    assert found <= allowed(part, text)
    if not text.startswith("every folder but"):
        assert allowed(part, text) <= found, "the page allows more than the code uses"


def test_pure_modules_touch_neither_devices_nor_sockets_nor_processes() -> None:
    modules = {file: ast.parse(file.read_text()) for file in PACKAGE.rglob("*.py")}
    pure = [file for file, tree in modules.items() if re.search(r"\bPure\b", ast.get_docstring(tree) or "")]
    loaded = {
        (str(file.relative_to(PACKAGE)), module)
        for file in pure
        for node in ast.walk(modules[file])
        for module in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert len(pure) > 20
    assert not {(file, module) for file, module in loaded if module.partition(".")[0] in OUTSIDE_WORLD}


def test_nothing_waits_with_select() -> None:
    """It takes no descriptor above 1023, and a worker with many clients has such descriptors."""
    for file in PACKAGE.rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        names = {ast.unparse(call) for call in calls}
        assert not names & {"select.select", "select", "selectors.SelectSelector", "SelectSelector"}, file


def test_no_wait_loses_the_end_of_its_task() -> None:
    # Until Python 3.12, asyncio.wait_for drops a cancellation that comes as its awaitable ends (gh-86296).
    for file in sorted(PACKAGE.rglob("*.py")):
        assert "asyncio.wait_for(" not in file.read_text(), f"{file}: use asyncio.timeout"
