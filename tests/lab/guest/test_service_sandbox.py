"""The unit's sandbox: everything that the daemon needs works, and little else."""

from __future__ import annotations

import contextlib
import grp
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import avahi
from tests.lab.guest.interfaces import network
from tests.lab.guest.service import UNIT, UNITS, Service, drop_in, run, systemctl
from tests.lab.guest.traffic import Traffic
from tests.support.harness import Client, poll
from tests.support.slcan_port import SlcanPort

if TYPE_CHECKING:
    from collections.abc import Iterator

ADAPTER = Path("/run/lab-adapter")
BUSES = f"""
[bus.powertrain]
interface = "socketcan"
channel = "vcan0"
[bus.body]
interface = "slcan"
channel = "{ADAPTER}"
"""
OPEN = Path("/srv/open")
"""A folder that every user may write, so that only the sandbox protects it."""
FORBIDDEN = [f"{one}/lab" for one in ("/etc", "/usr", "/var/lib", "/var/tmp/..", "/home", "/root", "/boot", "/run", OPEN, "/dev/shm/..")]  # fmt: skip
TRIED = Path("/var/lib/cancorder/tried")


@contextlib.contextmanager
def started_with(command: str) -> Iterator[None]:
    """Start the unit, and run this shell command in its sandbox when it is up."""
    script = Path("/usr/local/bin/lab-probe")
    script.write_text(f"#!/bin/sh\n{command}\n")
    script.chmod(0o755)
    folder = UNITS / f"{UNIT}.d"
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / "lab-probe.conf"
    probe.write_text(f"[Service]\nExecStartPost={script}\n")
    systemctl("daemon-reload")
    try:
        with Service('[bus.mock]\ninterface = "mock"\n'):
            yield
    finally:
        probe.unlink()
        TRIED.unlink(missing_ok=True)
        systemctl("daemon-reload")


def exposure() -> float:
    text = run("systemd-analyze", "security", "--no-pager", UNIT).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", text)
    assert found, text
    return float(found[1])


def test_recordings_are_written_and_an_unreachable_folder_is_reported(installed: None) -> None:
    OPEN.mkdir(mode=0o777, exist_ok=True)
    mock = 'interface = "mock"\nstart = "always"\n'
    buses = f'[bus.kept]\n{mock}record = {{}}\n[bus.lost]\n{mock}record = {{ directory = "{OPEN}" }}\n'
    with Service(buses) as service:
        service.wait_state("kept", "running")
        service.wait_state("lost", "running")
        kept = poll(
            lambda: service.buses()["kept"]["recording"]["bytes"] > 0 and service.buses()["kept"],
            what="a file",
        )
        file = Path(kept["recording"]["file"])
        assert file.parent == Path("/var/lib/cancorder/recordings")
        assert file.owner() == "cancorder"
        lost = service.buses()["lost"]
        assert f"ReadWritePaths={OPEN}" in lost["recording"]["reason"]


def test_files_that_the_service_cannot_see_are_reported_as_such(installed: None) -> None:
    buses = ""
    for name in ("tmp", "home"):
        Path(f"/{name}/drive.log").write_text("(1.0) can0 123#11\n")
        buses += f'[bus.{name}]\ninterface = "replay"\nfile = "/{name}/drive.log"\n'
    lost = '[bus.lost]\ninterface = "mock"\nstart = "always"\nrecord = { directory = "/tmp/recordings" }\n'
    with Service(buses + lost) as service:
        for name in ("tmp", "home"):
            reason = service.wait_state(name, "waiting")["reason"]
            assert f"The service cannot see /{name} of this machine" in reason
        reason = poll(
            lambda: service.buses()["lost"]["recording"]["reason"], what="the reason of the recorder"
        )
        assert "The service cannot see /tmp of this machine" in reason


@pytest.mark.usefixtures("fresh_avahi")
def test_vcan_serial_port_and_zeroconf_work(installed: None, vcan0: str) -> None:
    with network("lan0", "192.168.77.1/24", "fd00:77::1/64"), SlcanPort(ADAPTER) as adapter:
        device = os.path.realpath(ADAPTER)
        os.chown(device, -1, grp.getgrnam("dialout").gr_gid)
        os.chmod(device, 0o660)
        with Service(BUSES) as service:
            ports = {name: service.wait_state(name, "running")["port"] for name in ("powertrain", "body")}
            with Traffic(vcan0), Client(ports["powertrain"]) as one, Client(ports["body"], host="::1") as two:
                one.wait_frames(10)
                poll(lambda: len(service.buses()["body"]["clients"]) == 1, what="the second client")
                adapter.write(b"t1232AABB\r")
                assert two.wait_frames(1)[0].data == b"\xaa\xbb"
            poll(
                lambda: {record.port for record in avahi.browse()} == set(ports.values()),
                what="both are announced",
            )
            assert "Traceback" not in service.journal()


def test_exposure_level_of_systemd_analyze(installed: None) -> None:
    assert exposure() <= 2.0
    with drop_in("configure-links.conf"):
        assert exposure() <= 2.3


def test_only_its_own_folders_can_be_written(installed: None) -> None:
    OPEN.mkdir(exist_ok=True)
    OPEN.chmod(0o777)
    own = ["/run/cancorder/lab", "/var/lib/cancorder/lab", "/tmp/lab"]
    tries = " ".join([*FORBIDDEN, *own])
    with started_with(
        f"for file in {tries}; do (echo >$file) 2>/dev/null && echo $file; done >{TRIED}; true"
    ):
        assert TRIED.read_text().split() == own
    assert not Path("/tmp/lab").exists(), "its own /tmp"


@pytest.fixture
def users() -> Iterator[dict[str, str]]:
    """Two users: a member of the group cancorder, and a stranger."""
    names = {"member": "lab-member", "stranger": "lab-stranger"}
    run("useradd", "--no-create-home", "--groups", "cancorder", names["member"])
    run("useradd", "--no-create-home", names["stranger"])
    try:
        yield names
    finally:
        for name in names.values():
            run("userdel", name)


def test_members_of_the_group_may_read_and_not_change(installed: None, users: dict[str, str]) -> None:
    with Service('[bus.mock]\ninterface = "mock"\nstart = "always"\n') as service:
        service.wait_state("mock", "running")

        def ctl(user: str, *arguments: str) -> int:
            return run("runuser", "-u", users[user], "--", "cancorderctl", *arguments, check=False).returncode

        assert {verb: ctl("member", *verb.split()) for verb in ("status", "events", "clients")} == {
            "status": 0, "events": 0, "clients": 0,
        }  # fmt: skip
        assert {verb: ctl("member", *verb.split()) for verb in ("stop mock", "reload")} == {
            "stop mock": 4, "reload": 4,
        }  # fmt: skip
        assert ctl("stranger", "status") == 4
        assert service.buses()["mock"]["state"] == "running"


DEVICE = Path("/dev/lab-device")
"""A device that every user may open, and that the unit does not need."""
KERNEL_LOG = os.makedev(1, 11)
LIBRARIES = {
    "import ctypes; print(ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 3)())": "3",
    "import usb.backend.libusb1 as one; print(one.get_backend() is not None)": "True",
    "import can; can.Bus(interface='virtual').shutdown(); print('shut')": "shut",
    "import serial.tools.list_ports as one; print(type(one.comports()))": "<class 'list'>",
    "import socket; print(len(socket.getaddrinfo('localhost', 1)) > 0)": "True",
}
TRICKS = {
    "import mmap; print(mmap.mmap(-1, 4096, prot=7))": "PermissionError: [Errno 1] Operation not permitted",
    "import socket; print(socket.socket(socket.AF_PACKET))": "Address family not supported by protocol",
    "import os; print(os.listdir('/proc/1'))": "No such file or directory: '/proc/1'",
    "import os; print(os.listdir('/root'))": "Permission denied: '/root'",
    f"import os; print(os.open('{DEVICE}', 0))": f"Operation not permitted: '{DEVICE}'",
    "import ctypes as c; l = c.CDLL(None, use_errno=True); print(l.unshare(0x10000000), c.get_errno())": "-1 1",
}


def test_libraries_work_and_tricks_do_not(installed: None) -> None:
    """The answer to each program is the last line of its output."""
    os.mknod(DEVICE, stat.S_IFCHR, KERNEL_LOG)
    DEVICE.chmod(0o666)
    commands = [f'/opt/venv/bin/python -c "{one}" 2>&1 | tail -n 1' for one in (*LIBRARIES, *TRICKS)]
    with started_with(f"{{ {'; '.join(commands)}; }} >{TRIED}"):
        answers = TRIED.read_text().splitlines()
    for (what, wanted), answer in zip((LIBRARIES | TRICKS).items(), answers, strict=True):
        assert wanted in answer, what


LINK_DOWN = """
import fcntl, socket, struct
SIOCSIFFLAGS = 0x8914
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sH14x", b"vcan0", 0))
print("done")
"""
"""ip(8) would not do: it drops its rights by a system call that the sandbox forbids."""


def test_links_can_be_changed_only_with_the_drop_in(installed: None, vcan0: str) -> None:
    command = f"/opt/venv/bin/python -c '{LINK_DOWN}' >{TRIED} 2>&1; true"
    with started_with(command):
        assert "Operation not permitted" in TRIED.read_text()
    with drop_in("configure-links.conf"), started_with(command):
        assert TRIED.read_text() == "done\n"
