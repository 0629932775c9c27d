"""Files of the access to a hub: read in a thread, with a limit."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from cancorderd.hub.access import HubAccess
from cancorderd.hub.access_files import read_file
from cancorderd.hub.certificates import certificate_end_s
from cancorderd.hub.failures import AccessMistake
from cancorderd.hub.transport import open_transport
from tests.support.harness import PATIENCE_S


def test_file_system_that_does_not_answer_holds_up_nothing_else() -> None:
    answers = threading.Event()

    async def live() -> None:
        with pytest.raises(AccessMistake, match=r"^/mnt/hub.creds: the file system does not answer\."):
            await read_file("/mnt/hub.creds", lambda: answers.wait(PATIENCE_S), within_s=0.05)
        answers.set()
        assert await read_file("/mnt/hub.creds", lambda: "secret") == "secret"

    asyncio.run(live())


def test_certificates_are_read_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As all other files: the event loop goes on, whatever their file system does."""
    threads: list[threading.Thread] = []

    def context(_access: HubAccess) -> None:
        threads.append(threading.current_thread())
        raise AccessMistake("ca.pem: cannot be read.")

    monkeypatch.setattr("cancorderd.hub.transport.tls_context", context)
    access = HubAccess(("tls://127.0.0.1:9",), ca=str(tmp_path / "ca.pem"))
    with pytest.raises(AccessMistake, match=r"^ca\.pem: cannot be read"):
        asyncio.run(open_transport(access.servers()[0], access))
    assert threads != [threading.main_thread()]
    assert len(threads) == 1


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\x30\x02\x30\x00", b"\x30"])
def test_certificate_without_content_has_no_end(der: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        certificate_end_s(der)
