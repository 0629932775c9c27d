"""Folders that a service of systemd cannot see."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cancorderd.hidden_folders import hidden_folder, remedy_if_hidden

if TYPE_CHECKING:
    from pathlib import Path

# As a service with PrivateTmp=yes and ProtectHome=yes sees them on Debian 12 and 13, where /tmp may be a tmpfs.
MOUNTS = r"""
40 39 254:1 / / ro,relatime shared:1 - ext4 /dev/vda1 rw
41 40 0:24 /systemd/inaccessible/dir /home ro,nosuid,nodev,noexec shared:2 - tmpfs tmpfs rw,mode=755
42 40 0:24 /systemd/inaccessible/dir /root ro,nosuid,nodev,noexec shared:2 - tmpfs tmpfs rw,mode=755
43 40 254:1 /tmp/systemd-private-0a1b-cancorderd.service-x1/tmp /tmp rw,relatime shared:3 - ext4 /dev/vda1 rw
44 40 254:1 /var/tmp/systemd-private-0a1b-cancorderd.service-x2/tmp /var/tmp rw shared:3 - ext4 /dev/vda1 rw
45 40 0:40 / /run/user ro,nosuid - tmpfs tmpfs rw
46 40 0:41 / /srv/with\040blank rw - ext4 /dev/vdb1 rw
47 43 0:42 / /tmp/shown rw - ext4 /dev/vdc1 rw
""".strip().splitlines()


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/home/user/drive.asc", "/home"),
        ("/home", "/home"),
        ("/homes/drive.asc", None),
        ("/root/drive.asc", "/root"),
        ("/tmp/drive.asc", "/tmp"),
        ("/tmp/shown/drive.asc", None),
        ("/var/tmp/drive.asc", "/var/tmp"),
        ("/run/user/1000/drive.asc", "/run/user"),
        ("/var/lib/cancorder/drive.asc", None),
        ("/srv/with blank/drive.asc", None),
        ("/", None),
    ],
)
def test_folders_of_a_service(path: str, folder: str | None) -> None:
    assert hidden_folder(path, MOUNTS) == folder


@pytest.mark.parametrize("path", ["/tmp/a\nb", "", "relative", "/home/\udcff"])
def test_nothing_is_hidden_outside_a_service(path: str) -> None:
    assert remedy_if_hidden(path) == ""


@pytest.mark.skipif(
    os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="a mount namespace needs root"
)
def test_a_private_tmp_is_recognized_where_systemd_would_mount_it(tmp_path: Path) -> None:
    private = tmp_path / "systemd-private-0-cancorderd.service-1" / "tmp"
    private.mkdir(parents=True)
    (place := tmp_path / "mounted").mkdir()
    script = f"from cancorderd.hidden_folders import remedy_if_hidden; print(remedy_if_hidden('{place}/drive.asc'))"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", 'mount --bind "$1" "$2"; exec "$3" -c "$4"', "sh",
         private, place, sys.executable, script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "unshare" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.stdout.startswith(f"The service cannot see {place} of this machine"), done
