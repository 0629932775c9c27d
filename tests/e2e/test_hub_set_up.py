"""contrib/hub/set-up: certificates that strict clients accept, names and folders as people write them."""

from __future__ import annotations

import socket
import ssl
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from cancorderd.hub.access import server_address
from tests.support.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = ROOT / "contrib/hub/set-up"
WITHOUT_USER = 'id() { echo 1; }; . "$0"'
"""The files of a test do not belong to a user of this machine."""


def set_up(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", WITHOUT_USER, SCRIPT, *words], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_certificates_hold_for_strict_clients(tmp_path: Path) -> None:
    """Python 3.13 and later verify like this by default."""
    assert set_up("--folder", "hub", "localhost", "127.0.0.1", cwd=tmp_path).returncode == 0
    folder = tmp_path / "hub"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem", folder / "server.key")
    client = ssl.create_default_context(cafile=folder / "ca.pem")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    theirs = server.wrap_bio(outgoing, incoming, server_side=True)
    for end in (ours, theirs, ours):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert ours.version()


@pytest.mark.parametrize("name", ["::1", "[::1]", "127.0.0.1", "hub.example.net", f"{'a' * 60}.example.net"])
def test_name_or_address(tmp_path: Path, name: str) -> None:
    made = set_up("--folder", str(tmp_path / "a hub"), name, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    access = tomllib.loads((tmp_path / "a hub/admin.toml").read_text())
    assert server_address(access["url"][0]).host == name.strip("[]")
    certificate = [
        "openssl",
        "x509",
        "-in",
        str(tmp_path / "a hub/server.pem"),
        "-noout",
        "-ext",
        "subjectAltName",
    ]
    names = subprocess.run(certificate, capture_output=True, text=True, check=True).stdout
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in name else socket.AF_INET, name.strip("[]"))
    except OSError:
        assert f"DNS:{name}" in names
    else:
        assert "IP Address:" in names


def test_folder_is_written_as_a_whole_path(tmp_path: Path) -> None:
    assert set_up("--folder", "hub/", "localhost", cwd=tmp_path).returncode == 0
    assert tomllib.loads((tmp_path / "hub/admin.toml").read_text())["ca"] == str(tmp_path / "hub/ca.pem")
    assert f'"{tmp_path}/hub/server.pem"' in (tmp_path / "hub/nats-server.conf").read_text()


@pytest.mark.parametrize("name", ["", "a b", "tls://hub", "hub:4222", "192.0.2.1:4222", "-x"])
def test_wrong_name_is_told_and_makes_nothing(tmp_path: Path, name: str) -> None:
    refused = set_up("--folder", "hub", name, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr
    assert not (tmp_path / "hub").exists()


def test_failure_is_told_and_can_be_repeated(tmp_path: Path) -> None:
    failed = set_up("--folder", "hub", "999.1.1.1", cwd=tmp_path)
    assert failed.returncode == 1
    assert "openssl x509 failed" in failed.stderr
    assert set_up("--folder", "hub", "localhost", cwd=tmp_path).returncode == 0
    again = set_up("--folder", "hub", "localhost", cwd=tmp_path)
    assert again.returncode == 1
    assert "is set up already" in again.stderr
    assert set_up("--folder", cwd=tmp_path).returncode == 2
