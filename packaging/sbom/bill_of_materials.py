"""Bills of materials (CycloneDX 1.6): the software of others that one of our packages contains, with versions and purls.

The same contents give the same bytes: the time is that of the source, the serial number is derived from the rest.
Software that a package only asks for, such as the requirements of the wheel, is in the package's own metadata.
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from importlib.metadata import Distribution
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import PackageMetadata
    from pathlib import Path

_OLDEST_EPOCH_S = 315_532_800
"""1980: a wheel cannot hold an older time."""
_UPLOT = "cancorderd/web/static/vendor/uPlot.iife.min.js"
_UPLOT_VERSION = re.compile(r"uPlot \(v([\d.]+)\)")


class Component(NamedTuple):
    """A piece of software; `license_name` is an SPDX expression if `is_spdx`, or else what its author wrote."""

    name: str
    version: str
    purl: str
    license_name: str
    is_spdx: bool = True
    parts: tuple[dict[str, Any], ...] = ()
    """Components that are compiled into it, as its own bill of materials lists them."""


def bill(product: Component, contents: Iterable[Component], epoch_s: int) -> str:
    """Return the bill of materials of `product` as JSON."""
    listed = sorted(contents, key=lambda component: component.purl)
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(max(epoch_s, _OLDEST_EPOCH_S), UTC).strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            ),
            "component": _entry(product, "application"),
        },
        "components": [_entry(component, "library") for component in listed],
        "dependencies": [{"ref": product.purl, "dependsOn": [component.purl for component in listed]}],
    }
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document))}"
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def vendored(checkout: Path) -> list[Component]:
    """Return the software whose files are kept in the checkout."""
    head = (checkout / _UPLOT).read_text(encoding="utf-8")[:200]
    match = _UPLOT_VERSION.search(head)
    if match is None:
        raise ValueError(f"{_UPLOT} does not begin with its version")
    return [Component("uPlot", match[1], f"pkg:npm/uplot@{match[1]}", "MIT")]


def bundled(folder: Path) -> list[Component]:
    """Return the Python packages in a folder, by their metadata, with the components compiled into them."""
    return [_python_package(dist_info) for dist_info in sorted(folder.glob("*.dist-info"))]


def _python_package(dist_info: Path) -> Component:
    metadata = Distribution.at(dist_info).metadata
    name, version = metadata["Name"], metadata["Version"]
    normalized = re.sub(r"[-_.]+", "-", name).lower()
    license_name, is_spdx = _license(metadata)
    return Component(
        name, version, f"pkg:pypi/{normalized}@{version}", license_name, is_spdx, _compiled_in(dist_info)
    )


def _license(metadata: PackageMetadata) -> tuple[str, bool]:
    if "License-Expression" in metadata:
        return metadata["License-Expression"], True
    return (metadata["License"].partition("\n")[0] if "License" in metadata else ""), False


def _compiled_in(dist_info: Path) -> tuple[dict[str, Any], ...]:
    """Return the components in the package's own bills of materials (PEP 770), without those that only build it."""
    found = {}
    for path in sorted((dist_info / "sboms").glob("*.json")):
        for component in json.loads(path.read_text(encoding="utf-8")).get("components", []):
            if component.get("purl") and component.get("scope") != "excluded":
                keys = ("type", "name", "version", "licenses", "purl")
                found[component["purl"]] = {key: component[key] for key in keys if key in component}
    return tuple(found[purl] for purl in sorted(found))


def _entry(component: Component, kind: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": kind,
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
    }
    if component.license_name:
        entry["licenses"] = [
            {"expression": component.license_name}
            if component.is_spdx
            else {"license": {"name": component.license_name}}
        ]
    if component.parts:
        entry["components"] = list(component.parts)
    return entry
