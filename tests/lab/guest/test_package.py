"""The Debian package installs offline, serves at once and survives an upgrade; a purge leaves nothing."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from cancorderd import __version__
from tests.lab.guest.package import (
    CONFIGURATION,
    install,
    journal,
    purge,
    run,
    running,
    status,
    wait_until_nothing_runs,
)
from tests.support.harness import Client, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD = "0.0.9"
LEFT_ALONE = (
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/out",
    "/repo",
    "/opt/venv",
    "/root",
    "/var/log",
    "/var/cache",
)
"""Folders to which the kernel, the tests and other programs write meanwhile."""
OTHERS = ("/var/lib/dpkg", "/var/lib/apt/")
BUSES = """
[bus.bench]
interface = "mock"
start = "always"
"""


def files() -> set[str]:
    found = set()
    for folder, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in LEFT_ALONE]
        found |= {os.path.join(folder, name) for name in (*folders, *names)}
    return {path for path in found if not path.startswith(OTHERS)}


def accounts() -> str:
    return Path("/etc/passwd").read_text() + Path("/etc/group").read_text()


def users() -> set[str]:
    """Return the users of cancorderd's processes."""
    found = psutil.process_iter(["cmdline", "username"])  # of a process that ends meanwhile, these are None
    return {each.info["username"] for each in found if "cancorder" in " ".join(each.info["cmdline"] or ())}


@pytest.fixture(autouse=True)
def _purged_afterwards() -> Iterator[None]:
    yield
    Client.close_all()
    run("dpkg", "--purge", "cancorderd", check=False)


def test_installed_package_serves_and_a_purge_leaves_nothing() -> None:
    # Debian's own tools create files on their first use.
    run("systemd-sysusers")
    before = files()
    accounts_before = accounts()
    output = install(__version__)
    try:
        poll(lambda: "simulation" in running(), what="the mock bus runs")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{output}\n{journal()}") from None
    assert run("systemctl", "is-active", "cancorderd").stdout.strip() == "active"
    assert run("systemctl", "is-enabled", "cancorderd").stdout.strip() == "enabled"
    with Client(running()["simulation"]) as client:
        client.wait_frames(10)
    table = run("cancorderctl", "status").stdout
    assert "simulation" in table
    assert "running" in table
    assert Path("/etc/cancorder.d").is_dir()
    user = pwd.getpwnam("cancorder")
    assert user.pw_uid != 0
    assert "cancorder" in users()

    purge()
    after = files()
    assert sorted(after - before) == []
    assert sorted(before - after) == []
    assert accounts() == accounts_before
    wait_until_nothing_runs()
    # systemd forgets a unit when nothing refers to it any more, which may be a moment later.
    for listing in ("list-units", "list-unit-files"):
        poll(
            lambda: "cancorder" not in run("systemctl", listing, "--all", "--no-legend").stdout,  # noqa: B023
            what=f"systemctl {listing} without cancorder",
        )
    poll(lambda: not list(Path("/run").glob("cancorder*")), what="/run without cancorder")


def test_upgrade_keeps_ports_and_configuration_and_removal_keeps_the_configuration() -> None:
    install(OLD)
    poll(running, what="the old version runs")
    edited = CONFIGURATION.read_text() + BUSES
    CONFIGURATION.write_text(edited)
    run("cancorderctl", "reload")
    poll(lambda: {"simulation", "bench"} <= set(running()), what="both buses run")
    assert status()["version"] == OLD
    ports = running()
    clients = [Client(port) for port in ports.values()]
    for client in clients:
        client.wait_frames(1)

    install(__version__)
    poll(lambda: running() == ports, what="both buses run on their ports")
    assert status()["version"] == __version__
    assert CONFIGURATION.read_text() == edited
    assert run("systemctl", "is-active", "cancorderd").stdout.strip() == "active"
    for port in ports.values():
        with Client(port) as client:
            client.wait_frames(1)

    Client.close_all()
    run("dpkg", "--remove", "cancorderd")
    wait_until_nothing_runs()
    assert CONFIGURATION.read_text() == edited
