"""The unit of the page: which user it has, what it may do, and that it ends where there is no page."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.lab.guest.service import UNITS, Service, run, systemctl
from tests.support.harness import PATIENCE_S, ROOT, poll

UNIT = "cancorderd-web.service"
BUS = '[bus.body]\ninterface = "mock"\nstart = "always"\n'
ADDRESS = "http://127.0.0.1:8642"
MOST_EXPOSURE = 2.0
PASSWORD = "correct horse battery"
PASSWORD_FILE = Path("/etc/cancorder-web.password")


@pytest.fixture
def unit(installed: None) -> Iterator[None]:
    del installed
    shutil.copy(ROOT / "packaging/systemd" / UNIT, UNITS)
    systemctl("daemon-reload")
    systemctl("enable", UNIT)
    yield
    systemctl("disable", "--now", UNIT, check=False)
    (UNITS / UNIT).unlink()
    PASSWORD_FILE.unlink(missing_ok=True)
    systemctl("daemon-reload")


def answers(path: str = "/livez") -> bool:
    try:
        with urllib.request.urlopen(f"{ADDRESS}{path}", timeout=PATIENCE_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def page_process() -> psutil.Process:
    pid = int(systemctl("show", "--value", "--property=MainPID", UNIT).stdout)
    return psutil.Process(pid)


def test_page_runs_as_a_user_that_can_do_little(unit: None) -> None:
    del unit
    with Service(f"[web]\n{BUS}") as service:
        service.wait_state("body", "running")
        poll(answers, what="the page")
        assert page_process().username() == "cancorder-web"
        assert "cancorderd.web" not in " ".join(
            " ".join(child.cmdline()) for child in psutil.Process(service.pid).children()
        )
        text = run("systemd-analyze", "security", "--no-pager", UNIT).stdout
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", text)
        assert found, text
        assert float(found[1]) <= MOST_EXPOSURE
        assert 'bus="body"' in run("curl", "--silent", f"{ADDRESS}/metrics").stdout


def test_unit_ends_where_there_is_no_page(unit: None) -> None:
    del unit
    with Service(BUS) as service:
        service.wait_state("body", "running")

        def ended() -> bool:
            shown = systemctl("show", "--property=ActiveState,Result,ExecMainStatus", UNIT).stdout
            return {"ActiveState=inactive", "Result=success", "ExecMainStatus=0"} <= set(shown.split())

        poll(ended, what="the end of the unit")


@pytest.mark.parametrize(("control", "state"), [("true", "stopped"), ("false", "running")])
def test_buttons_work_with_control_alone(unit: None, control: str, state: str) -> None:
    del unit
    subprocess.run(
        ["cancorderctl", "web", "password", str(PASSWORD_FILE)],
        input=f"{PASSWORD}\n", text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert PASSWORD_FILE.owner() == "cancorder-web"
    with Service(f'[web]\npassword_file = "{PASSWORD_FILE}"\ncontrol = {control}\n{BUS}') as service:
        service.wait_state("body", "running")
        poll(answers, what="the page")
        run(
            *("curl", "--silent", "--user", f"x:{PASSWORD}", "--request", "POST"),
            *("--header", f"Origin: {ADDRESS}", f"{ADDRESS}/v1/buses/body/stop"),
        )
        assert service.buses()["body"]["state"] == state
