"""Run the shell examples of the guide's page "A fleet in fifteen minutes" one after another, on one machine.

Runs as root in namespaces of its own (`test_fleet_page`), in which /etc, /run and /usr/local/bin are copies or empty.
`sudo` and `systemctl` are replaced: the latter starts the command of the unit as the unit's user.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from cancorderd.control.client import ControlClient
from tests.support.harness import ROOT, poll
from tests.support.nats_server import PROGRAM
from tests.support.network_namespace import bring_loopback_up

SUDO = '#!/bin/sh\nexec "$@"\n'
SYSTEMCTL = """\
#!/bin/sh
# enable --now UNIT, or reload UNIT
for name; do unit=/etc/systemd/system/$name.service; done
value() { sed -n "s/^$1=//p" "$unit"; }
if [ "$1" = reload ]; then
    MAINPID=$(cat "/run/$(value RuntimeDirectory)/nats-server.pid")
    eval "$(value ExecReload)"
    exit
fi
for folder in "/run/$(value RuntimeDirectory)" "/var/lib/$(value StateDirectory)"; do
    install -d -o "$(value User)" -g "$(value Group)" -m "$(value StateDirectoryMode)" "$folder"
done
setpriv --reuid="$(value User)" --regid="$(value Group)" --clear-groups --no-new-privs \
    $(value ExecStart) >"$TRIAL/nats.log" 2>&1 &
"""
TOO_SLOW = re.compile(r"takes longer than|does not (?:answer|introduce)|no answer|stopped answering")
"""Failures of commands with a limit of time, which is short for a busy machine: they are repeated."""
CONFIGURATION = """\
include = ["/etc/cancorder.d/*.toml"]

[defaults]
zeroconf = false

[bus.powertrain]
interface = "mock"
start = "always"
"""


def prepare(trial: Path) -> None:
    """Give this mount namespace its own system folders, with a daemon's configuration and our programs."""
    shutil.copytree("/etc", trial / "etc", symlinks=True, ignore_dangling_symlinks=True)
    for folder in ("run", "lib", "bin"):
        (trial / folder).mkdir()
    for source, target in (("etc", "/etc"), ("run", "/run"), ("lib", "/var/lib"), ("bin", "/usr/local/bin")):
        subprocess.run(["mount", "--bind", trial / source, target], check=True)
    Path("/etc/systemd/system").mkdir(parents=True, exist_ok=True)
    Path("/etc/cancorder.d").mkdir(exist_ok=True)
    with open("/etc/hosts", "a") as hosts:
        hosts.write("127.0.0.1 hub.example.net\n")
    Path("/etc/cancorder.toml").write_text(CONFIGURATION)
    subprocess.run(["groupadd", "--system", "--force", "cancorder"], check=True)
    assert PROGRAM
    shutil.copy(PROGRAM, "/usr/local/bin/nats-server")
    programs = {"sudo": SUDO, "systemctl": SYSTEMCTL}
    for name in ("cancorderctl", "cancorderd"):
        programs[name] = f'#!/bin/sh\nexec "{sys.executable}" -P -m cancorderd.cli.{name} "$@"\n'
    for name, text in programs.items():
        program = Path("/usr/local/bin", name)
        program.write_text(text)
        program.chmod(0o755)


def blocks(heading: str) -> list[str]:
    """Return the shell examples below a heading of the page."""
    page = (ROOT / "contrib/guide/fleet.md").read_text()
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def run(heading: str, folder: Path) -> str:
    """Run the lines of the examples below a heading in `folder`; returns what they print."""
    folder.mkdir(exist_ok=True)
    if not (folder / "contrib").exists():
        (folder / "contrib").symlink_to(ROOT / "contrib")
    lines = "".join(blocks(heading)).splitlines()
    assert lines, heading
    return "".join(poll(lambda line=line: printed(line, folder), what=line) for line in lines)  # type: ignore[misc]


def printed(line: str, folder: Path) -> str:
    """Run a line; returns what it prints, or nothing if it was too slow on a busy machine."""
    done = subprocess.run(["sh", "-eu", "-c", line], cwd=folder, capture_output=True, text=True)
    text = done.stdout + done.stderr
    if done.returncode == 1 and TOO_SLOW.search(text):
        return ""
    assert done.returncode == 0, f"{line}\n{text}"
    return f"$ {line}\n{text}"


def bring(names: dict[str, Path], folder: Path) -> None:
    """Copy files from the hub to another machine."""
    folder.mkdir()
    for name, source in names.items():
        shutil.copy(source, folder / name)


def main() -> None:
    trial = Path(sys.argv[1])
    os.environ["TRIAL"] = str(trial)
    os.environ["PATH"] = f"/usr/local/bin:{os.environ['PATH']}"
    bring_loopback_up()
    prepare(trial)
    hub, gateway, viewer = trial / "hub", trial / "gateway", trial / "viewer"
    box = Path("/etc/cancorder-hub")
    with (trial / "daemon.log").open("wb") as log:
        subprocess.Popen(["cancorderd"], stdout=log, stderr=log)
    control = ControlClient(None)
    poll(lambda: Path("/run/cancorder/control.sock").exists())
    run("1. The hub", hub)
    ca = {"ca.pem": box / "ca.pem"}
    bring(
        {"truck-17.toml": hub / "truck-17.toml", "truck-17.password": box / "truck-17.password", **ca},
        gateway,
    )
    checked = run("2. The gateway", gateway)
    assert "may publish to can.truck-17.powertrain" in checked
    poll(lambda: (forward := control.status()["forward"]) and forward["connected"])
    bring({"lab.password": box / "lab.password", **ca}, viewer)
    poll(lambda: listed(viewer))
    seen = run("3. The viewer", viewer)
    assert len(re.findall(r"^ *\S+  [0-9A-F]{3,8}  +\[\d+\]", seen, re.MULTILINE)) == 10, seen
    run("What is safe when", hub)
    before = (box / "server.pem").read_bytes()
    assert "valid for 825 days" in run("Looking after a fleet", hub)
    assert (box / "server.pem").read_bytes() != before
    poll(lambda: "Reloaded server configuration" in (trial / "nats.log").read_text(errors="replace"))
    assert listed(viewer)
    check_secrets(trial, box)
    print("the page holds")


def listed(folder: Path) -> bool:
    """Whether frames of the gateway are at the hub."""
    words = ["ls", "tls://hub.example.net", "--user", "lab", "--password-file", f"{folder}/lab.password"]
    done = subprocess.run(
        ["cancorderctl", "hub", *words, "--ca", f"{folder}/ca.pem", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return "powertrain" in done.stdout


def check_secrets(trial: Path, box: Path) -> None:
    """No password is in a log, an answer of the daemon, or a command line."""
    secrets = [file.read_text().strip() for file in box.glob("*.password")]
    assert len(secrets) == 3
    shown = [(trial / name).read_text(errors="replace") for name in ("daemon.log", "nats.log")]
    for words in (["status"], ["status", "--json"], ["events"], ["config"], ["hub", "check"]):
        done = subprocess.run(["cancorderctl", *words], capture_output=True, text=True)
        shown.append(done.stdout + done.stderr)
    shown += [file.read_text(errors="replace") for file in Path("/proc").glob("[0-9]*/cmdline")]
    for text in shown:
        assert not [secret for secret in secrets if secret in text], text[:2000]


if __name__ == "__main__":
    main()
