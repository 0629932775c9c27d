#!/usr/bin/env python3
"""Draws contrib/status-watch.svg: the page of `cancorderctl status --watch`, of a day that never was.

    contrib/picture.py [FILE]

The same picture each time. Needs the packages that cancorderd needs.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import MONOKAI

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cancorderd.cli.page import Known, page
from cancorderd.cli.window import drawn

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
"""rich's, without the fonts that it would have fetched from elsewhere."""


def bus(name: str, interface: str, channel: str, state: str, **keys: Any) -> dict[str, Any]:
    rate, load, since_s = keys.pop("rate", 0), keys.pop("load", 0.0), keys.pop("since_s", 95_000)
    lost, viewers = keys.pop("lost", 0), keys.pop("viewers", 0)
    return {
        "name": name, "interface": interface, "channel": channel, "state": state, "reason": "", "last_error": "",
        "since": _NOW - since_s, "port": 42420, "restarts": 0, "controller": None, "load": load,
        "frames": {"per_second": rate}, "lost": {"kernel": 0, "adapter": 0, "clients": lost},
        "clients": [{}] * viewers, **keys,
    }  # fmt: skip


STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "pid": 812,
    "uptime_s": 95_000,
    "config": "/etc/cancorder.toml",
    "buses": [
        bus("powertrain", "socketcan", "can0", "running", rate=3820, load=0.87, viewers=3,
            recording={"state": "recording", "reason": "", "file": "/var/lib/cancorder/drive.blf",
                       "bytes": 812_400_000, "dropped": 0}),
        bus("body", "slcan", "/dev/ttyACM0", "running", rate=412, load=0.38, viewers=1, lost=1290, port=42421),
        bus("bench", "mock", "mock", "running", rate=121, load=0.03, port=42422, since_s=5_400),
        bus("rig", "gs_usb", "003A0026", "backoff", port=42423, restarts=4, since_s=2,
            reason="unplugged; next try in 4 s"),
        bus("drive", "socketcan", "can1", "waiting", port=42424, since_s=754,
            reason="interface can1 is down"),
        bus("spare", "toucan", "0", "stopped", port=42425, since_s=88_000),
    ],
}  # fmt: skip


def svg() -> str:
    """The picture."""
    console = Console(
        record=True, file=io.StringIO(), width=_SIZE[0], force_terminal=True, color_system="truecolor"
    )
    known = Known(STATUS, _NOW, grew={"body"})
    console.print(drawn(page(known, _NOW, "10:13:20", _SIZE)))
    picture = console.export_svg(
        title="cancorderctl status --watch", theme=MONOKAI, code_format=_FORMAT, unique_id="status-watch"
    )
    return "".join(f"{line.rstrip()}\n" for line in picture.splitlines())


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("status-watch.svg")
    place.write_text(svg())
