"""A link that loses, delays and throttles packets, between this network namespace and another: two TUN devices and a program.

    python -m tests.support.rough_link NAMESPACE ADDRESS FAR_ADDRESS

Each line of its input is JSON with the keys of `Roughness`, which hold from then on. Needs root and /dev/net/tun.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import json
import os
import random
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import IO, Self

from pyroute2 import IPRoute

from tests.support.harness import PATIENCE_S, ROOT, poll
from tests.support.hosts import NETWORK

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 1, 0x1000
_CLONE_NEWNET = 0x40000000
_MTU = 1500
_QUEUE_BYTES = 64_000
"""Packets that wait for a slow link; those beyond are lost, as in a modem."""


@dataclass
class Roughness:
    """What a link does to packets, in each direction."""

    loss: float = 0.0
    """Share of the packets that are lost."""
    delay_s: float = 0.0
    bytes_per_s: float = float("inf")


class RoughHost:
    """A network namespace with such a link to this one. Commands that begin with `prefix` run in it."""

    def __init__(self, number: int, roughness: Roughness) -> None:
        """`number`, from 1 to 254, is unique."""
        self.address = f"{NETWORK}.{number}.2"
        self.hub_address = f"{NETWORK}.{number}.1"
        self.prefix: list[str] = []
        self._roughness = roughness
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        own = os.readlink("/proc/self/ns/net")
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self._processes.append(holder)
        namespace = f"/proc/{holder.pid}/ns/net"
        poll(lambda: os.readlink(namespace) != own, what="a network namespace")
        self.prefix = ["nsenter", f"--net={namespace}"]
        words = [sys.executable, "-m", "tests.support.rough_link", namespace, self.hub_address, self.address]
        link = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._processes.append(link)
        assert link.stdout
        assert link.stdout.readline() == b"ready\n"
        self.become(self._roughness)
        return self

    def become(self, roughness: Roughness) -> None:
        """Let the link be like this from now on."""
        stdin: IO[bytes] | None = self._processes[-1].stdin
        assert stdin
        stdin.write(json.dumps(asdict(roughness)).encode() + b"\n")
        stdin.flush()

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait(PATIENCE_S)
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()


class Direction:
    """Passes packets from one device to another."""

    def __init__(self, source: int, target: int, roughness: Roughness) -> None:
        self._source = source
        self._target = target
        self._roughness = roughness
        self._free_s = 0.0
        """Time at which the link has sent all packets that wait."""
        asyncio.get_running_loop().add_reader(source, self._take)

    def _take(self) -> None:
        packet = os.read(self._source, _MTU + 100)
        rough, now_s = self._roughness, time.monotonic()
        if random.random() < rough.loss or (self._free_s - now_s) * rough.bytes_per_s > _QUEUE_BYTES:
            return
        self._free_s = max(self._free_s, now_s) + len(packet) / rough.bytes_per_s
        asyncio.get_running_loop().call_later(
            self._free_s - now_s + rough.delay_s, os.write, self._target, packet
        )


def device(name: str, address: str) -> int:
    """Make a TUN device with this address in the namespace of this process; returns its descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    with IPRoute() as links:
        index = links.link_lookup(ifname=name)[0]
        links.addr("add", index=index, address=address, prefixlen=24)
        for each in (index, links.link_lookup(ifname="lo")[0]):
            links.link("set", index=each, state="up")
    return descriptor


def enter(namespace: str) -> None:
    """Make the network namespace of this path that of this process."""
    with open(namespace) as other:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(other.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


async def serve(near: int, far: int) -> None:
    roughness = Roughness()
    _directions = [Direction(near, far, roughness), Direction(far, near, roughness)]
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        vars(roughness).update(json.loads(line))


if __name__ == "__main__":
    here = device("rough0", sys.argv[2])
    enter(sys.argv[1])
    asyncio.run(serve(here, device("rough0", sys.argv[3])))
