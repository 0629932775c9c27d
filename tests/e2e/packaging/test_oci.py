"""The container image's format, and the files for Compose and Kubernetes. `tests/run packages` builds and starts it."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import re
import tarfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cancorderd
from cancorderd.config.loading import load

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "packaging/oci"
EXAMPLES = ROOT / "contrib/containers"
COMPOSE = (EXAMPLES / "compose.yaml").read_text()
KUBERNETES = (EXAMPLES / "kubernetes.yaml").read_text()
EPOCH = 1_700_000_000


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("image", FOLDER / "image.py")
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


image = module()


def built(folder: Path, architecture: str = "amd64") -> Path:
    """Return an image of a root folder with one file."""
    folder.mkdir()
    root, file = folder / "root.tar", folder / "image.tar"
    with tarfile.open(root, "w") as tar:
        tar.addfile(tarfile.TarInfo("./etc"))
    image.write_image(root, file, "1.2", architecture, EPOCH)
    return file


def contents(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_an_image_is_the_same_each_time(tmp_path: Path) -> None:
    assert built(tmp_path / "a").read_bytes() == built(tmp_path / "b").read_bytes()


def test_every_file_is_stored_under_its_checksum(tmp_path: Path) -> None:
    blobs = {
        name: data for name, data in contents(built(tmp_path / "a")).items() if name.startswith("blobs/")
    }
    assert len(blobs) == 3
    for name, data in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize(
    ("debian", "platform"),
    [
        ("amd64", {"architecture": "amd64", "os": "linux"}),
        ("arm64", {"architecture": "arm64", "variant": "v8", "os": "linux"}),
        ("armhf", {"architecture": "arm", "variant": "v7", "os": "linux"}),
    ],
)
def test_both_lists_lead_to_the_configuration_and_the_layer(
    tmp_path: Path, debian: str, platform: dict[str, str]
) -> None:
    files = contents(built(tmp_path / "a", debian))
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}

    def blob(descriptor: dict[str, Any]) -> bytes:
        data = files[image.blob_path(descriptor["digest"])]
        assert len(data) == descriptor["size"]
        return data

    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["platform"] == platform
    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    layer = gzip.decompress(blob(manifest["layers"][0]))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert {key: config[key] for key in platform} == platform
    (docker,) = json.loads(files["manifest.json"])
    assert docker == {
        "Config": image.blob_path(manifest["config"]["digest"]),
        "Layers": [image.blob_path(manifest["layers"][0]["digest"])],
        "RepoTags": ["localhost/cancorderd:1.2"],
    }


def test_build_and_the_image_agree_about_the_user() -> None:
    (number,) = re.findall(r"^uid=(\d+)$", (FOLDER / "build").read_text(), re.MULTILINE)
    assert number == str(image.USER)
    assert f'user: "{number}"' in COMPOSE
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        assert f"{key}: {number}\n" in KUBERNETES


@pytest.mark.parametrize("text", [COMPOSE, KUBERNETES])
def test_examples_name_the_image_of_this_version(text: str) -> None:
    assert re.findall(r"image: (\S+)", text) == [f"{image.NAME}:{cancorderd.__version__}"]


def test_the_configuration_for_kubernetes_is_right_and_its_port_is_the_services(tmp_path: Path) -> None:
    match = re.search(r"cancorder\.toml: \|\n((?:    .*\n|\n)+)", KUBERNETES)
    assert match
    file = tmp_path / "cancorder.toml"
    file.write_text(textwrap.dedent(match[1]))
    (bus,) = load(str(file)).buses
    assert f"containerPort: {bus.port}" in KUBERNETES
    assert f"port: {bus.port}, targetPort: {bus.name}" in KUBERNETES


def test_folders_that_must_be_writable_are_mounted_in_both_examples() -> None:
    for folder in ("/run/cancorder", "/var/lib/cancorder"):
        assert folder in COMPOSE
        assert f"mountPath: {folder}" in KUBERNETES
