"""contrib/hub/set-up: certificates that strict clients accept, names and folders as people write them."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cancorderd.cli.ctl import hub_access
from cancorderd.hub.access import server_address
from cancorderd.hub.connection import open_connection
from cancorderd.hub.jetstream import stream_names
from tests.support.harness import ROOT
from tests.support.hub_box import HubBox
from tests.support.nats_server import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from cancorderd.hub.access import HubAccess
    from cancorderd.hub.connection import HubConnection

SCRIPT = ROOT / "contrib/hub/set-up"
WITHOUT_USER = 'id() { echo 1; }; . "$0"'
"""The files of a test do not belong to a user of this machine."""


def set_up(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", WITHOUT_USER, SCRIPT, *words], cwd=cwd, capture_output=True, text=True, check=False
    )


def shown(certificate: Path, what: str) -> str:
    return subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", *what.split()],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def shorten_authority(folder: Path, days: int) -> None:
    """Give the authority another certificate, which ends so soon."""
    subprocess.run(
        ["openssl", "req", "-x509", "-key", "ca.key", "-out", "ca.pem", "-days", str(days),
         "-subj", "/CN=cancorder hub authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
        cwd=folder, capture_output=True, check=True,
    )  # fmt: skip


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


def test_renewal_needs_neither_the_servers_key_nor_another_authority(tmp_path: Path) -> None:
    """As on the machine to which the key of the authority was moved."""
    assert set_up("--folder", "hub", "hub.example.net", "192.0.2.1", "::1", cwd=tmp_path).returncode == 0
    hub, elsewhere = tmp_path / "hub", tmp_path / "safe"
    elsewhere.mkdir()
    for file in ("ca.pem", "server.pem"):
        shutil.copy(hub / file, elsewhere)
    missing = set_up("--renew", "--folder", str(elsewhere), cwd=tmp_path)
    assert missing.returncode == 1
    assert f"{elsewhere}/ca.key is missing. Copy it there" in missing.stderr
    (hub / "ca.key").rename(elsewhere / "ca.key")
    renewed = set_up("--renew", "--folder", "safe", cwd=tmp_path)
    assert renewed.returncode == 0, renewed.stderr
    assert "systemctl reload cancorder-hub" in renewed.stdout
    before, after = hub / "server.pem", elsewhere / "server.pem"
    for same in ("-ext subjectAltName,keyUsage,extendedKeyUsage", "-pubkey", "-subject -issuer"):
        assert shown(before, same) == shown(after, same)
    assert shown(before, "-serial") != shown(after, "-serial")
    assert (elsewhere / "ca.pem").read_bytes() == (hub / "ca.pem").read_bytes()
    assert {file.name for file in elsewhere.iterdir()} == {"ca.key", "ca.pem", "server.pem"}
    assert set_up("--folder", "safe", "--renew", "other.example.net", cwd=tmp_path).returncode == 0
    assert "DNS:other.example.net\n" in shown(after, "-ext subjectAltName")
    good = after.read_bytes()
    assert set_up("--renew", "--folder", "safe", "999.1.1.1", cwd=tmp_path).returncode == 1
    assert after.read_bytes() == good


@pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")
def test_renewed_certificates_are_in_force_after_a_reload_and_old_authorities_stay_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def connected(access: HubAccess) -> HubConnection:
        return await open_connection(access, "test", within_s=60)

    async def reloaded(hub: HubBox) -> list[str]:
        early = await connected(hub.access())
        assert set_up("--renew", "--folder", str(hub.box.folder), cwd=tmp_path).returncode == 0
        await asyncio.to_thread(hub.reload)
        assert early.open
        late = await connected(replace(hub.access(), ca=str(tmp_path / "old.pem")))
        notices = late.notices
        assert max(validity.end_s for validity in late.validities) > time.time() + 800 * 86_400
        await late.close()
        await (await connected(hub.access())).close()
        await early.close()
        return notices

    with HubBox(tmp_path / "box") as hub:
        shutil.copy(hub.box.folder / "ca.pem", tmp_path / "old.pem")
        assert asyncio.run(reloaded(hub)) == []
        shorten_authority(hub.box.folder, 20)
        shutil.copy(hub.box.folder / "ca.pem", tmp_path / "old.pem")
        (notice,) = asyncio.run(reloaded(hub))
        assert notice.startswith(f"{tmp_path}/old.pem: the authority of the hub expires in 19 days. Renew it")
        assert "contrib/hub/set-up --renew" in notice
        old = replace(hub.access(), ca=str(tmp_path / "old.pem"))
        for _ in range(2):
            hub_access.at_hub(old, stream_names)
        assert capsys.readouterr().err == f"cancorderctl: {notice}\n"
        assert (hub.box.folder / "ca.pem").read_bytes() != (tmp_path / "old.pem").read_bytes()
