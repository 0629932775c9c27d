"""The whole way of a frame: a gateway that forwards, a hub, a viewer, and a client that notes every number."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests.support.harness import Client, Daemon, poll
from tests.support.hub_account import Hub
from tests.support.nats_server import NatsServer
from tests.support.numbered_frames import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RATE = 1000
GATEWAY = "truck-17"
LINES: list[str] = []
"""A line per drill, for the end of the run."""
HEAD = f"{'drill':<44} {'sent':>7} {'received':>8} {'flowing again':>14}  lost"


@dataclass
class Ends:
    """Addresses by which gateway and viewer reach the hub; by default the hub's own."""

    gateway: str = ""
    viewer: str = ""


class Chain:
    """Gateway daemon, hub, viewer daemon and its client."""

    def __init__(
        self,
        folder: Path,
        *,
        ends: Ends | None = None,
        keys: str = "",
        server: NatsServer | None = None,
        prefix: Sequence[str] = (),
        rate: int = RATE,
        **limits: object,
    ) -> None:
        """`keys` belong to [forward], `limits` to the stream. The command of the gateway begins with `prefix`."""
        self.server = server or NatsServer(folder / "hub")
        ends = ends or Ends()
        self._limits = limits
        self._forward = f'[forward]\nurl = ["{ends.gateway or self.server.url}"]\ngateway = "{GATEWAY}"\n'
        bus = f'[bus.a]\ninterface = "mock"\npattern = "numbered"\nrate = {rate}\nstart = "always"\n'
        (folder / "gateway").mkdir()
        (folder / "viewer").mkdir()
        self._bus = bus
        self.gateway = Daemon(folder / "gateway", f"{self._forward}{keys}\n{bus}")
        self.gateway.prefix = [*prefix]
        self.viewer = Daemon(
            folder / "viewer",
            f'[bus.far]\ninterface = "nats"\nurl = ["{ends.viewer or self.server.url}"]\n'
            f'gateway = "{GATEWAY}"\nbus = "a"\nfrom = "all"\n',
        )
        self.hub = Hub(self.server.url, GATEWAY)
        self.client: Client
        self._flow_s = 0.0

    def __enter__(self) -> Self:
        self.server.start()
        self.hub.make_stream(**self._limits)
        self.gateway.start()
        self.viewer.start()
        self.client = Client(self.viewer.wait_port("far"))
        self.flows()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.viewer.__exit__()
        self.gateway.__exit__()
        self.server.kill()

    def reload_forward(self, keys: str) -> None:
        self.gateway.write(f"{self._forward}{keys}\n{self._bus}")
        assert self.gateway.ctl("reload").returncode == 0

    @property
    def forward(self) -> dict[str, Any]:
        found: dict[str, Any] = self.gateway.status()["forward"]
        return found

    def sends(self, frames: int) -> None:
        """Wait until the gateway has received so many further frames from its bus."""
        before = self.gateway.bus("a")["frames"]["received"]
        poll(lambda: self.gateway.bus("a")["frames"]["received"] >= before + frames)

    def flows(self) -> None:
        """Wait until frames that are sent from now on arrive, and note how long that takes."""
        began_s = time.time()
        poll(
            lambda: self.client.frames and self.client.frames[-1].timestamp_us > began_s * 1e6,
            what="new frames",
        )
        self._flow_s = max(self._flow_s, time.time() - began_s)

    def ahead_s(self) -> float:
        """Return the time by which the stamp of the last frame at the client is ahead of this machine's clock."""
        return self.client.frames[-1].timestamp_us / 1e6 - time.time()

    def restart_clock(self) -> None:
        """Forget how long it took until now."""
        self._flow_s = 0.0

    def judge(self, drill: str, *, lives: int = 1, exact: bool = True) -> dict[str, int]:
        """Stop the bus, and assert that each frame has arrived once and in order, or is counted as lost; return the losses.

        `lives` is the number of gateway daemons, each of which counts from 0; only the last one's end is known.
        """
        self.gateway.ctl("stop", "a")
        sent_last = self.gateway.bus("a")["frames"]["received"]
        poll(
            lambda: self.forward["connected"] and not any(bus["lag_frames"] for bus in self.forward["buses"])
        )
        poll(
            lambda: numbers(self.client.frames[-1:]) == [sent_last - 1],
            what=f"frame {sent_last - 1} at the client",
        )
        found = numbers(self.client.frames)
        begins = [
            0,
            *(index for index, (a, b) in enumerate(itertools.pairwise(found), 1) if b < a),
            len(found),
        ]
        streams = [found[a:b] for a, b in itertools.pairwise(begins)]
        assert len(streams) == lives, f"frames out of order: {[(each[0], each[-1]) for each in streams]}"
        assert all(a < b for each in streams for a, b in itertools.pairwise(each)), "a frame is there twice"
        sent = sum(each[-1] + 1 for each in streams) - found[0]  # the hub may have deleted the first by then
        missing = sent - len(found)

        def accounted() -> bool:
            counted = sum(self.lost().values())
            return counted == missing if exact else counted >= missing

        # A worker reports its counts once a second.
        poll(accounted, what=f"an account of {missing} missing frames; counted so far: {self.lost()}")
        lost = self.lost()
        shown = ", ".join(f"{place} {frames}" for place, frames in lost.items()) or "none"
        LINES.append(f"{drill:<44} {sent:>7} {len(found):>8} {self._flow_s:>12.1f} s  {shown}")
        return lost

    def lost(self) -> dict[str, int]:
        """Return the frames that the viewer counts as lost on the way, by place."""
        text = self.viewer.bus("far")["details"].get("lost", "")
        return {place: int(frames) for place, frames in (item.split() for item in text.split(", ") if item)}
