"""What changes in a running system after the files of the service were written, and when they go."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from typing import NamedTuple

from cancorderd.installation.service_files import CONFIGURATION, DROP_INS, UNITS

SYSTEMD = "/run/systemd/system"
"""Exists if systemd is the first process (sd_booted(3))."""
_UDEV = "/run/udev/control"
_ACCOUNTS = ("cancorder", "cancorder-web")
"""Names of users and of their groups, which userdel removes on some systems only."""
_STATE = (CONFIGURATION, DROP_INS, "/var/lib/cancorder", "/run/cancorder")


class Step(NamedTuple):
    """A command, which is run only if the path `needs` exists."""

    command: tuple[str, ...]
    needs: str


_PREPARE = (
    Step(("systemd-sysusers", "cancorderd.conf"), "/"),
    Step(("systemd-tmpfiles", "--create", "cancorderd.conf"), SYSTEMD),
    Step(("udevadm", "control", "--reload"), _UDEV),
    # For adapters that are plugged in already.
    Step(("udevadm", "trigger", "--subsystem-match=usb"), _UDEV),
    Step(("udevadm", "trigger", "--subsystem-match=tty", "--property-match=ID_BUS=usb"), _UDEV),
    Step(("systemctl", "daemon-reload"), SYSTEMD),
)
_START = Step(("systemctl", "restart", UNITS[0]), SYSTEMD)
_STOP = Step(("systemctl", "stop", *reversed(UNITS)), SYSTEMD)
_FORGET = (
    Step(("systemctl", "daemon-reload"), SYSTEMD),
    Step(("udevadm", "control", "--reload"), _UDEV),
)


def is_running() -> bool:
    """Return whether systemd manages this machine; it does not in a chroot or in most containers."""
    return os.path.isdir(SYSTEMD)


def prepare() -> list[str]:
    """Create users and folders, and load rules and units; return the problems."""
    return [problem for step in _PREPARE if (problem := run(step))]


def start() -> str | None:
    """Start the service, or start it anew; return the problem."""
    return run(_START)


def stop() -> str | None:
    """Stop the service; return the problem."""
    return run(_STOP)


def forget() -> list[str]:
    """Make the system forget units and rules that are gone; return the problems."""
    return [problem for step in _FORGET if (problem := run(step))]


def purge() -> list[str]:
    """Remove configuration, recordings and users; return the problems."""
    for path in _STATE:
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.exists(path):
            os.unlink(path)
    users = [user.pw_name for user in pwd.getpwall()]
    problems = _delete("userdel", users)
    groups = [group.gr_name for group in grp.getgrall()]
    return problems + _delete("groupdel", groups)


def _delete(tool: str, existing: list[str]) -> list[str]:
    """Delete our accounts among the existing ones; return the problems."""
    steps = [Step((tool, account), "/") for account in _ACCOUNTS if account in existing]
    return [problem for step in steps if (problem := run(step))]


def run(step: Step) -> str | None:
    """Run a command; return the problem, if there is any."""
    if not os.path.exists(step.needs):
        return None
    line = " ".join(step.command)
    try:
        done = subprocess.run(
            step.command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    except OSError as error:
        return f"{line}: {error.strerror}."
    if done.returncode:
        return f"{line}: {done.stderr.strip() or f'exit status {done.returncode}'}"
    return None
