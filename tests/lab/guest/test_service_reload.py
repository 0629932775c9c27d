"""systemctl reload: returns when the file is in force; with mistakes in it, fails and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.guest.service import UNIT, Service, drop_in, systemctl
from tests.support.harness import Client, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

MOCK = '[bus.{}]\ninterface = "mock"\nstart = "always"\nspeed = 20\n'
MISTAKES = 78
SYSTEMD = int(systemctl("--version").stdout.split()[1])


@pytest.fixture
def service(installed: None) -> Iterator[Service]:
    with Service(MOCK.format("one")) as running:
        running.wait_state("one", "running")
        yield running


def test_a_good_file_is_in_force_when_reload_returns(service: Service) -> None:
    with Client(service.buses()["one"]["port"]) as client:
        client.wait_frames(1)
        service.write(MOCK.format("one") + MOCK.format("two"))
        systemctl("reload", UNIT)
        buses = service.buses()
        assert buses["two"]["state"] == "running"
        client.wait_more()
    assert service.show("ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}
    poll(lambda: service.status_text == "2 of 2 buses running", what="the status line follows")


def test_a_bad_file_changes_nothing_and_its_mistakes_are_in_the_journal(service: Service) -> None:
    before = service.buses()["one"]
    service.write(MOCK.format("one") + MOCK.format("two") + "bitrat = 5\n")
    assert systemctl("reload", UNIT, check=False).returncode != 0
    journal = service.journal()
    assert "/etc/cancorder.toml:9: bus.two.bitrat: " in journal
    assert "nothing was changed" in journal
    after = service.buses()
    assert list(after) == ["one"]
    assert (after["one"]["pid"], after["one"]["since"]) == (before["pid"], before["since"])
    assert service.show("ActiveState")["ActiveState"] == "active"


def test_sighup_reloads_too(service: Service) -> None:
    service.write(MOCK.format("two"))
    systemctl("kill", "--kill-whom=main", "--signal=HUP", UNIT)
    poll(lambda: list(service.buses()) == ["two"], what="the file is in force")
    poll(lambda: service.show("SubState")["SubState"] == "running", what="the reload is over")


@pytest.mark.skipif(SYSTEMD < 253, reason="systemd before 253 has no notify-reload")
def test_with_notify_reload_a_good_file_is_in_force_and_a_bad_one_changes_nothing(installed: None) -> None:
    with drop_in("notify-reload.conf"), Service(MOCK.format("one")) as service:
        before = service.wait_state("one", "running")
        service.write(MOCK.format("one") + MOCK.format("two"))
        systemctl("reload", UNIT)
        assert service.buses()["two"]["state"] == "running"
        service.write(MOCK.format("one") + "bitrat = 5\n")
        systemctl("reload", UNIT)
        poll(lambda: "/etc/cancorder.toml:5: bus.one.bitrat: " in service.journal(), what="the mistake")
        assert list(service.buses()) == ["one", "two"]
        assert service.buses()["one"]["pid"] == before["pid"]
        assert service.show("Type", "ActiveState", "SubState") == {
            "Type": "notify-reload", "ActiveState": "active", "SubState": "running",
        }  # fmt: skip


def test_a_bad_file_at_start_fails_once_and_says_why(installed: None) -> None:
    service = Service("[bus.one]\n")
    try:
        assert systemctl("start", UNIT, check=False).returncode != 0
        shown = service.show("ActiveState", "ExecMainStatus", "NRestarts")
        assert shown == {"ActiveState": "failed", "ExecMainStatus": str(MISTAKES), "NRestarts": "0"}
        assert "/etc/cancorder.toml:1: bus.one" in service.journal()
    finally:
        service.__exit__()
