"""Write an image from the tar archive of a root folder; started by `build`.

The result is one file that `docker load`, `podman load` and `skopeo` read: an OCI image layout in a tar archive, with the
`manifest.json` of `docker save`, which Docker reads before version 25. The same root folder gives the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

USER = 900
"""Number of the user and group cancorder; `build` has it, too. Without the name, Kubernetes sees that it is not root."""
PLATFORMS = {
    "amd64": {"architecture": "amd64"},
    "arm64": {"architecture": "arm64", "variant": "v8"},
    "armhf": {"architecture": "arm", "variant": "v7"},
}
"""Debian's architectures by the names of Go, which images use."""
NAME = "localhost/cancorderd"
_BLOCK = 1 << 20
_TYPE = "application/vnd.oci.image."
_S = 1_000_000_000
"""Nanoseconds, the unit of the health check."""


def configuration(diff_id: str, version: str, architecture: str, epoch: int) -> dict[str, Any]:
    """Return the image's configuration: what a container runs, as whom, and with which rights.

    Health checks are an addition of Docker's to the format (OCI image specification, "config.md"); Docker reads them here.
    """
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "created": created,
        **PLATFORMS[architecture],
        "os": "linux",
        "config": {
            "User": str(USER),
            "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"],
            # No entry point: `docker run IMAGE cancorderctl discover` runs that.
            "Cmd": ["/usr/bin/cancorderd"],
            "WorkingDir": "/var/lib/cancorder",
            "ExposedPorts": {"42420/tcp": {}},
            "Volumes": {"/var/lib/cancorder": {}},
            "StopSignal": "SIGTERM",
            "Healthcheck": {
                "Test": ["CMD", "/usr/bin/cancorderctl", "status"],
                "Interval": 30 * _S,
                "Timeout": 10 * _S,
                "StartPeriod": 10 * _S,
                "Retries": 3,
            },
            "Labels": {
                "org.opencontainers.image.title": "cancorderd",
                "org.opencontainers.image.description": "CAN gateway daemon: every frame of many CAN buses, over TCP",
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "MIT",
                "org.opencontainers.image.created": created,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "created_by": "packaging/oci/build"}],
    }


class Archive:
    """An OCI image layout, written to a tar archive. Files have no owner, and the time `epoch`."""

    def __init__(self, tar: tarfile.TarFile, epoch: int) -> None:
        self._tar = tar
        self._epoch = epoch

    def add(self, name: str, content: IO[bytes], size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = size, self._epoch, 0o644
        self._tar.addfile(member, content)

    def add_json(self, name: str, value: Any) -> None:
        data = encoded(value)
        self.add(name, io.BytesIO(data), len(data))

    def add_blob(self, media_type: str, content: IO[bytes]) -> dict[str, Any]:
        """Add a file under its checksum; return the descriptor that refers to it."""
        digest, size = checksum(content)
        self.add(blob_path(digest), content, size)
        return {"mediaType": _TYPE + media_type, "digest": digest, "size": size}

    def add_blob_json(self, media_type: str, value: Any) -> dict[str, Any]:
        return self.add_blob(media_type, io.BytesIO(encoded(value)))


def encoded(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def checksum(content: IO[bytes]) -> tuple[str, int]:
    """Return the digest and the size of a file, and go back to its beginning."""
    sha256 = hashlib.sha256()
    while block := content.read(_BLOCK):
        sha256.update(block)
    size = content.tell()
    content.seek(0)
    return f"sha256:{sha256.hexdigest()}", size


def add_run_folder(root: Path, epoch: int) -> None:
    """Add /run/cancorder, for the control socket, to a root folder's archive: mmdebstrap empties /run at its end.

    A tmpfs mounted there belongs to root. Runtimes give it the mode of this folder, which must let the daemon in (runc,
    rootfs_linux.go, until 1.2 even if another mode is asked for).
    """
    folder = tarfile.TarInfo("./run/cancorder")
    folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o1777, epoch
    folder.uid = folder.gid = USER
    with tarfile.open(root, "a") as tar:
        tar.addfile(folder)


def compressed(content: IO[bytes], target: IO[bytes]) -> None:
    with gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=6, mtime=0) as packed:
        while block := content.read(_BLOCK):
            packed.write(block)
    content.seek(0)
    target.seek(0)


def write_image(root: Path, image: Path, version: str, architecture: str, epoch: int) -> None:
    """Write the image with the root folder in the archive `root` as its only layer."""
    add_run_folder(root, epoch)
    with root.open("rb") as layer, tempfile.TemporaryFile() as packed, tarfile.open(image, "w") as tar:
        archive = Archive(tar, epoch)
        archive.add_json("oci-layout", {"imageLayoutVersion": "1.0.0"})
        compressed(layer, packed)
        layers = [archive.add_blob("layer.v1.tar+gzip", packed)]
        settings = configuration(checksum(layer)[0], version, architecture, epoch)
        config = archive.add_blob_json("config.v1+json", settings)
        manifest = archive.add_blob_json(
            "manifest.v1+json",
            {
                "schemaVersion": 2,
                "mediaType": _TYPE + "manifest.v1+json",
                "config": config,
                "layers": layers,
            },
        )
        reference = f"{NAME}:{version}"
        manifest["platform"] = {**PLATFORMS[architecture], "os": "linux"}
        manifest["annotations"] = {
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": version,
        }
        archive.add_json("index.json", {"schemaVersion": 2, "manifests": [manifest]})
        paths = [blob_path(layer["digest"]) for layer in layers]
        archive.add_json(
            "manifest.json",
            [{"Config": blob_path(config["digest"]), "RepoTags": [reference], "Layers": paths}],
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="image.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", type=Path, help="tar archive of the root folder; a folder is added to it")
    parser.add_argument("--version", required=True)
    parser.add_argument("--architecture", required=True, choices=PLATFORMS)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    image = options.output / f"cancorderd_{options.version}_{options.architecture}.oci.tar"
    write_image(options.root, image, options.version, options.architecture, epoch)
    print(image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
