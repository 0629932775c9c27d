#!/usr/bin/env python3
"""Draw contrib/status-watch.svg: the page of `cancorderctl status --watch` with invented values.

    contrib/picture.py [FILE]

The picture is the same each time. It needs the same packages as cancorderd.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.terminal_theme import MONOKAI

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cancorderd.cli.ctl.watch_page import Snapshot, page
from cancorderd.cli.ctl.window import renderable

if TYPE_CHECKING:
    from cancorderd.control.protocol import BusStatus, ClientStatus, RecordingStatus, StateName, StatusAnswer
_SIZE = (132, 16)
_NOW = 1_700_000_000.0
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
  <!-- Drawn by contrib/picture.py -->
  <style>
    .{unique_id}-matrix {{
      font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
      font-size: {char_height}px;
      line-height: {line_height}px;
      font-variant-east-asian: full-width;
    }}
    .{unique_id}-title {{
      font-size: 18px;
      font-weight: bold;
      font-family: sans-serif;
    }}
{styles}
  </style>
  <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
{lines}
  </defs>
{chrome}
  <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
    <g class="{unique_id}-matrix">
{matrix}
    </g>
  </g>
</svg>
"""
"""rich's format, without the fonts that it would load from the Internet."""


def bus(
    name: str,
    interface: str,
    channel: str,
    state: StateName,
    reason: str = "",
    *,
    port: int,
    since_s: float = 95_000,
    restarts: int = 0,
    rate: float = 0,
    load: float = 0,
    clients: int = 0,
    lost: int = 0,
    recording: RecordingStatus | None = None,
) -> BusStatus:
    client: ClientStatus = {
        "address": "192.0.2.1:50000",
        "connected_s": since_s,
        "frames_sent": 0,
        "frames_dropped": 0,
        "backlog_bytes": 0,
    }
    return {
        "name": name,
        "interface": interface,
        "channel": channel,
        "serial": None,
        "bitrate": 500_000,
        "enabled": True,
        "state": state,
        "reason": reason,
        "since": _NOW - since_s,
        "pid": None,
        "port": port,
        "listen": [],
        "listen_missing": [],
        "restarts": restarts,
        "last_error": "",
        "frames": {"received": 0, "per_second": rate, "error": 0, "remote": 0},
        "lost": {"kernel": 0, "adapter": 0, "clients": lost, "unknown": 0},
        "load": load,
        "controller": None,
        "details": {},
        "clients": [client] * clients,
        "recording": recording,
    }


RECORDING: RecordingStatus = {
    "state": "recording",
    "reason": "",
    "file": "/var/lib/cancorder/drive.blf",
    "bytes": 812_400_000,
    "frames": 0,
    "dropped": 0,
}
STATUS: StatusAnswer = {
    "version": "0.1.0",
    "pid": 812,
    "uptime_s": 95_000,
    "config": "/etc/cancorder.toml",
    "buses": [
        bus(
            "powertrain",
            "socketcan",
            "can0",
            "running",
            port=42420,
            rate=3820,
            load=0.87,
            clients=3,
            recording=RECORDING,
        ),
        bus(
            "body", "slcan", "/dev/ttyACM0", "running", port=42421, rate=412, load=0.38, clients=1, lost=1290
        ),
        bus("bench", "mock", "mock", "running", port=42422, since_s=5_400, rate=121, load=0.03),
        bus(
            "rig",
            "gs_usb",
            "003A0026",
            "backoff",
            "unplugged; next try in 4 s",
            port=42423,
            since_s=2,
            restarts=4,
        ),
        bus("drive", "socketcan", "can1", "waiting", "interface can1 is down", port=42424, since_s=754),
        bus("spare", "toucan", "0", "stopped", port=42425, since_s=88_000),
    ],
}


def svg() -> str:
    """Return the picture."""
    console = Console(
        record=True, file=io.StringIO(), width=_SIZE[0], force_terminal=True, color_system="truecolor"
    )
    snapshot = Snapshot(STATUS, _NOW, losing={"body"})
    console.print(renderable(page(snapshot, _NOW, "10:13:20", _SIZE)))
    picture = console.export_svg(
        title="cancorderctl status --watch", theme=MONOKAI, code_format=_FORMAT, unique_id="status-watch"
    )
    return "".join(f"{line.rstrip()}\n" for line in picture.splitlines())


if __name__ == "__main__":
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("status-watch.svg")
    file.write_text(svg())
