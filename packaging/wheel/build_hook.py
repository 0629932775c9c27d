"""Hook of the wheel's build (hatchling): the files of etc/, packaging/ and contrib/, and the bill of materials.

The files go to `cancorderd/share`, at the same places as in the checkout, so that links between them remain right;
`cancorderctl files` finds them there (cancorderd/installation/product_files.py). The manual pages are also installed to
share/man of the environment, where `man` looks for the pages of a program in PATH. An editable installation gets none
of this: it uses the checkout.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PATTERNS = (
    "LICENSE",
    "etc/cancorder.toml",
    "packaging/launchd/*",
    "packaging/man/*.[158]",
    "packaging/systemd/**/*",
    "packaging/udev/*",
    "contrib/mock.dbc",
    "contrib/containers/*",
    "contrib/examples/*",
    "contrib/grafana/*",
    "contrib/guide/**/*",
    "contrib/hub/*",
    "contrib/openapi/*.json",
    "contrib/prometheus/*",
    "contrib/wireshark/*",
)
"""Files of the checkout that belong to the product."""
PAGES = "packaging/man/*.[158]"
BILL = "cancorderd.cdx.json"
_NEVER = ("__pycache__", ".pyc")
_UNKNOWN_EPOCH_S = 1_580_601_600
"""hatchling's time for files if SOURCE_DATE_EPOCH is not set."""


class CustomBuildHook(BuildHookInterface[Any]):
    """What hatchling calls."""

    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "standard":
            return
        root = Path(self.root)
        build_data["force_include"].update(product_files(root))
        build_data["shared_data"].update(manual_pages(root))
        self._temporary = tempfile.TemporaryDirectory()
        path = Path(self._temporary.name, BILL)
        path.write_text(bill_of_wheel(root, self.metadata.version), encoding="utf-8")
        build_data.setdefault("sbom_files", []).append(str(path))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        del version, build_data, artifact_path
        if self._temporary:
            self._temporary.cleanup()


def product_files(root: Path) -> dict[str, str]:
    """Return each file, and its place in the wheel."""
    return {
        str(path): f"cancorderd/share/{path.relative_to(root).as_posix()}"
        for pattern in PATTERNS
        for path in sorted(root.glob(pattern))
        if path.is_file() and not any(word in str(path.relative_to(root)) for word in _NEVER)
    }


def manual_pages(root: Path) -> dict[str, str]:
    """Return each manual page, and its place in the environment."""
    return {str(page): f"share/man/man{page.suffix[1:]}/{page.name}" for page in sorted(root.glob(PAGES))}


def bill_of_wheel(root: Path, version: str) -> str:
    sys.path.insert(0, str(root / "packaging/sbom"))
    from bill_of_materials import Component, bill, vendored  # noqa: PLC0415 - its folder is known only now

    product = Component("cancorderd", version, f"pkg:pypi/cancorderd@{version}", "MIT")
    epoch_s = int(os.environ.get("SOURCE_DATE_EPOCH", _UNKNOWN_EPOCH_S))
    return bill(product, vendored(root), epoch_s)
