from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from cancorderd.supervisor import ports
from cancorderd.supervisor.ports import PortMemory, PortTaken
from tests.harness import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_both_families_listen_on_one_port() -> None:
    sockets = ports.listen(["0.0.0.0", "::"], port := free_port())
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, port), 5).close()
    ports.close(sockets)


def test_taken_port_names_the_program_and_leaves_nothing_open() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} is in use by \S+ \(process \d+\)\. End that"):
            ports.listen(["127.0.0.1", "::1"], port)
        socket.create_server(("127.0.0.1", port)).close()


def test_address_of_another_machine() -> None:
    with pytest.raises(PortTaken, match=r"this machine has no address 192\.0\.2\.99 \(yet\)"):
        ports.listen(["192.0.2.99"], free_port())


def test_automatic_port_is_the_first_free_one_that_is_not_reserved() -> None:
    first, sockets = ports.listen_automatically(["127.0.0.1"], ())
    assert first >= 42420
    second, more = ports.listen_automatically(["127.0.0.1"], (first + 1,))
    assert second > first + 1
    ports.close(sockets + more)


def test_memory_survives_and_is_written_whole(tmp_path: Path) -> None:
    memory = PortMemory(str(tmp_path / "state"))
    assert memory.get("body") is None
    assert memory.remember("body", 42420) is None
    assert memory.remember("bench", 42421) is None
    again = PortMemory(str(tmp_path / "state"))
    assert (again.get("body"), again.get("bench")) == (42420, 42421)
    assert again.others("body") == {42421}
    assert [one.name for one in (tmp_path / "state").iterdir()] == ["ports.toml"]


@pytest.mark.parametrize("text", ["[[[", "ports = 3", '[ports]\nbody = "x"', "\xff"])
def test_broken_memory_is_forgotten_not_fatal(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.toml").write_bytes(text.encode("latin-1"))
    assert PortMemory(str(tmp_path)).get("body") is None


def test_memory_that_cannot_be_written_says_so_and_still_remembers(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = PortMemory(str(tmp_path / "file"))
    assert "automatic ports are not kept across restarts" in str(memory.remember("body", 1))
    assert memory.get("body") == 1
