"""Power cuts, in the machine: judge what the last cut has left on the disk, then record until the next one.

    python -m tests.lab.guest.power_cut NUMBER [end]

NUMBER counts the boots with this disk from 0; `end` judges only. `tests.lab.power_cut` boots the machine and cuts its power.
It shares the folder /out with this program: `progress-NUMBER` is what a user could see before the cut, a line of JSON
at a time; `left-NUMBER` is what this boot has found on the disk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cancorderd.adapters.log_files.entries import LogFrame
from cancorderd.control.client import ControlClient, ControlError
from tests.faults.disk import entries, misread
from tests.support.harness import PATIENCE_S, Client, Daemon, poll
from tests.support.numbered_frames import number

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT, DISK, OTHER_DISK = Path("/out"), Path("/disk"), Path("/other-disk")
RECORDINGS, DAEMON = DISK / "recordings", OTHER_DISK / "daemon"
PORTS = DAEMON / "state/ports.toml"
FORMATS = ("log", "asc", "blf")
RATE = 20
"""Frames per second of each bus: the machine's processor is slow."""
LOOK_EVERY_S = 0.5
PAUSE_S = 3.0
"""Between a new port and the next reload: what is written last has nothing behind it that puts it on the disk."""


def mount() -> None:
    """Mount two disks, so that no recording helps ports.toml: to sync a file may sync others of its file system.

    By themselves they write down only what is older than five minutes.
    """
    for disk, folder in ((DISK, RECORDINGS), (OTHER_DISK, DAEMON)):
        image = OUT / f"{disk.name}.img"
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(64 << 20)
            subprocess.run(["mkfs.ext4", "-q", image], check=True)
        disk.mkdir()
        subprocess.run(["mount", "-t", "ext4", "-o", "loop,commit=300", image, disk], check=True)
        folder.mkdir(exist_ok=True)


def buses(more: str) -> str:
    """Return a recorded bus for each format, and the bus `more`, if any, whose port is new."""
    recorded = "".join(
        f'[bus.{name}]\ninterface = "mock"\npattern = "numbered"\nrate = {RATE}\nstart = "always"\n'
        f'record = {{ directory = "{RECORDINGS}", format = "{name}" }}\n'
        for name in FORMATS
    )
    return recorded + (f'[bus.{more}]\ninterface = "mock"\n' if more else "")


class Progress:
    """All that a user can see: frames, the recorders' reports, ports. Written down by a thread until the cut."""

    def __init__(self, boot: int, daemon: Daemon) -> None:
        self.begun = ""
        """The bus that was added last."""
        self._daemon = daemon
        self._clients = {name: Client(daemon.wait_port(name)).__enter__() for name in FORMATS}
        self._file = (OUT / f"progress-{boot}").open("w", buffering=1)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            try:
                found = {bus["name"]: bus for bus in self._daemon.status()["buses"]}
            except ControlError:  # a machine that is too busy does not answer in time
                continue
            if all(self._clients[name].frames and found[name]["recording"]["file"] for name in FORMATS):
                self._file.write(json.dumps(self._line(found)) + "\n")

    def _line(self, found: dict[str, Any]) -> dict[str, Any]:
        last = {name: list(client.frames)[-1] for name, client in self._clients.items()}
        return {
            "at": time.time(),
            "begun": self.begun,
            "ports": {name: bus["port"] for name, bus in found.items() if bus["port"]},
            "seen": {name: (number(frame), frame.timestamp_us / 1e6) for name, frame in last.items()},
            "reported": {
                name: (found[name]["recording"]["file"], found[name]["recording"]["frames"])
                for name in FORMATS
            },
        }


def record(boot: int) -> None:
    """Serve and record, and give a bus more a port again and again, until the power is cut."""
    daemon = Daemon(DAEMON, buses(""))
    with daemon:
        for name in FORMATS:
            daemon.wait_state(name, "running")
        progress = Progress(boot, daemon)
        for count in range(1_000_000):
            progress.begun = f"more-{boot}-{count}"
            daemon.write(buses(progress.begun))
            ControlClient(str(daemon.socket), timeout_s=PATIENCE_S).reload()
            daemon.wait_port(progress.begun)
            time.sleep(PAUSE_S)


def lines(boot: int) -> list[dict[str, Any]]:
    """Return what was seen before a cut; the cut may have torn the last line."""
    text = (OUT / f"progress-{boot}").read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def left(boot: int) -> dict[str, Any]:
    """Return what the cut of this boot has left; `mistakes` are sentences."""
    seen = lines(boot)
    cut_s = seen[-1]["at"]
    found: dict[str, Any] = {"mistakes": misread(RECORDINGS), "sent": 0, "received": 0, "lost_s": 0.0}
    for name in FORMATS:
        file, reported = seen[-1]["reported"][name]
        last, stamp_s = seen[-1]["seen"][name]
        numbers = numbers_in_file(Path(file))
        first = numbers[0] if numbers else 0
        kept = sum(value < first + reported for value in numbers)
        found["sent"] += reported
        found["received"] += kept
        if numbers and numbers[-1] < last:
            lost_since_s = stamp_s - (last - numbers[-1] - 1) / RATE
            found["lost_s"] = max(found["lost_s"], cut_s - lost_since_s)
    return found | ports_left(seen, cut_s, found["mistakes"])


def numbers_in_file(file: Path) -> list[int]:
    """Return the numbers of its frames; none if the file is gone."""
    frames = entries(file) if file.exists() else ()
    return [int.from_bytes(frame.data) for frame in frames if isinstance(frame, LogFrame)]


def ports_left(seen: list[dict[str, Any]], cut_s: float, mistakes: list[str]) -> dict[str, Any]:
    """Return the age of the oldest port that is not remembered; adds what is wrong to `mistakes`."""
    told: dict[str, int] = {}
    since_s: dict[str, float] = {}
    for line in seen:
        told |= line["ports"]
        for name in line["ports"]:
            since_s.setdefault(name, line["at"])
    remembered = tomllib.loads(PORTS.read_text())["ports"] if PORTS.exists() else {}
    wrong = {name for name, port in remembered.items() if told.get(name, port) != port}
    mistakes += [f"{name} has another port than before the cut" for name in sorted(wrong)]
    forgotten = [cut_s - since_s[name] for name in told if name not in remembered]
    return {"port_lost_s": max(forgotten, default=0.0), "ports": told}


def goes_on(found: dict[str, Any]) -> None:
    """Start the daemon as it is after the cut; it must record, with the ports of before, and repair torn files."""
    with Daemon(DAEMON, buses("")) as daemon:
        for name in FORMATS:
            port = daemon.wait_port(name)
            if port != found["ports"][name]:
                found["mistakes"].append(f"{name} has port {port} and not {found['ports'][name]}")
            poll(lambda name=name: daemon.bus(name)["recording"]["frames"], what="frames are recorded")  # type: ignore[misc]
    found["mistakes"] += misread(RECORDINGS) + list(torn_lines())
    if PORTS.with_name("ports.toml.bad").exists():
        found["mistakes"].append("ports.toml was set aside as wrong")


def torn_lines() -> Iterator[str]:
    for file in RECORDINGS.iterdir():
        if file.suffix in (".log", ".asc") and not file.read_bytes().endswith(b"\n"):
            yield f"{file.name} ends within a line"


def main(boot: int, *, end: bool) -> None:
    mount()
    if boot:
        found = left(boot - 1)
        if end:
            goes_on(found)
        (OUT / f"left-{boot}").write_text(json.dumps(found))
    if not end:
        record(boot)


if __name__ == "__main__":
    main(int(sys.argv[1]), end=sys.argv[2:] == ["end"])
