"""What the tests of the ECU's application share: a server on the bench, brought into a state by name."""

from __future__ import annotations

import random

from cancorderd.simulator import image, programming, routines
from cancorderd.simulator.faults import Faults
from cancorderd.simulator.programming import Flash
from cancorderd.simulator.server import Reply, Server
from cancorderd.simulator.uds import Routine, key_for
from cancorderd.simulator.vehicle import Vehicle

BLOCK_LENGTH = 66
IMAGE = image.build(300, "SW_V02.15.004", random.Random(9))
BLOCKS = [IMAGE[at : at + BLOCK_LENGTH - 2] for at in range(0, len(IMAGE), BLOCK_LENGTH - 2)]
ERASE = routines.start(Routine.ERASE_MEMORY, programming.region(image.BASE_ADDRESS, image.FLASH_SIZE))
CHECK = routines.start(Routine.CHECK_DEPENDENCIES)
DOWNLOAD = b"\x34\x00" + programming.region(image.BASE_ADDRESS, len(IMAGE))


class Bench:
    """A server and what belongs to it. `states` brings it into one; each goes through those before."""

    def __init__(self, *, busy_rate: float = 0.0, error_rate: float = 0.0, seed: int = 1) -> None:
        rng = random.Random(seed)
        self.vehicle = Vehicle(random.Random(seed))
        self.faults = Faults(random.Random(seed), self.vehicle)
        self.flash = Flash(rng, BLOCK_LENGTH, error_rate)
        self.server = Server(rng, self.vehicle, self.faults, self.flash, busy_rate)
        self.now = 100.0

    def reply(self, request: bytes, *, functional: bool = False) -> Reply | None:
        self.now += 0.1
        return self.server.request(request, self.now, functional=functional)

    def ask(self, request: bytes | str, *, functional: bool = False) -> bytes:
        """The response's payload; empty where there is none."""
        payload = bytes.fromhex(request) if isinstance(request, str) else request
        reply = self.reply(payload, functional=functional)
        return reply.payload if reply else b""

    def expect(self, request: bytes | str, response: str) -> None:
        answered = self.ask(request)
        assert answered.hex(" ").startswith(response), (request, answered.hex(" "))

    def become(self, state: str) -> Bench:
        getattr(self, state)()
        return self

    def default(self) -> None:
        """As after power-on."""

    def driving(self) -> None:
        self.vehicle.drive()
        self.now += 30
        self.vehicle.until(self.now)

    def idling(self) -> None:
        self.vehicle.idle()

    def faulty(self) -> None:
        self.faults.appear()

    def extended(self) -> None:
        self.expect("10 03", "50 03")

    def checked(self) -> None:
        self.extended()
        self.expect("31 01 02 03", "71 01 02 03 00")

    def programming(self) -> None:
        self.extended()
        self.expect("10 02", "50 02")

    def seeded(self) -> None:
        self.programming()
        self.expect("27 11", "67 11")

    def unlocked(self) -> None:
        self.programming()
        self.unlock()

    def unlock(self) -> None:
        self.expect(b"\x27\x12" + key_for(self.ask("27 11")[2:]), "67 12")

    def erased(self) -> None:
        self.unlocked()
        self.expect(ERASE, "71 01 ff 00 00")

    def downloading(self) -> None:
        self.erased()
        self.expect(DOWNLOAD, "74 20 00 42")

    def begun(self) -> None:
        self.downloading()
        self.expect(b"\x36\x01" + BLOCKS[0], "76 01")

    def transferred(self) -> None:
        self.begun()
        for number, block in enumerate(BLOCKS[1:], 2):
            self.expect(bytes([0x36, number]) + block, f"76 {number:02x}")

    def exited(self) -> None:
        self.transferred()
        self.expect("37", "77")

    def programmed(self) -> None:
        self.exited()
        self.expect(CHECK, "71 01 ff 01 00")
