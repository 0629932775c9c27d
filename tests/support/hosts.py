"""Machines for tests: network namespaces, each with a cable to the namespace of this process, which is the hub's. Needs root."""

from __future__ import annotations

import os
import subprocess
from typing import Self

from pyroute2 import IPRoute, NetNS

from tests.support.harness import PATIENCE_S, poll

NETWORK = "10.77"


class Host:
    """A network namespace. Commands that begin with `prefix` run in it."""

    def __init__(self, number: int) -> None:
        """`number`, from 1 to 254, is unique."""
        self.address = f"{NETWORK}.{number}.2"
        self.hub_address = f"{NETWORK}.{number}.1"
        self.prefix: list[str] = []
        self._cable = f"cable{number}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        own = os.readlink("/proc/self/ns/net")
        self._process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        namespace = f"/proc/{self._process.pid}/ns/net"
        poll(lambda: os.readlink(namespace) != own, what="a network namespace")
        self.prefix = ["nsenter", f"--net={namespace}"]
        with IPRoute() as links:
            links.link("add", ifname=self._cable, kind="veth", peer=f"{self._cable}far")
            near, far = (links.link_lookup(ifname=name)[0] for name in (self._cable, f"{self._cable}far"))
            links.link("set", index=far, net_ns_pid=self._process.pid)
            links.addr("add", index=near, address=self.hub_address, prefixlen=24)
            links.link("set", index=near, state="up")
        with NetNS(namespace) as links:
            far = links.link_lookup(ifname=f"{self._cable}far")[0]
            links.addr("add", index=far, address=self.address, prefixlen=24)
            for index in (far, links.link_lookup(ifname="lo")[0]):
                links.link("set", index=index, state="up")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(PATIENCE_S)

    def cut(self) -> None:
        """Pull the cable: nothing comes through, and no program is notified."""
        self._set_cable("down")

    def mend(self) -> None:
        self._set_cable("up")

    def _set_cable(self, state: str) -> None:
        with IPRoute() as links:
            links.link("set", index=links.link_lookup(ifname=self._cable)[0], state=state)
