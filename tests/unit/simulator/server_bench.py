"""UDS server on a test bench, brought into a named state."""

from __future__ import annotations

import random

from cancorderd.simulator import firmware_image, flash_memory, routines
from cancorderd.simulator.fault_memory import FaultMemory
from cancorderd.simulator.flash_memory import FlashMemory
from cancorderd.simulator.uds import Routine, key_for
from cancorderd.simulator.uds_server import UdsReply, UdsServer
from cancorderd.simulator.vehicle import Vehicle

BLOCK_LENGTH = 66
IMAGE = firmware_image.build(300, "SW_V02.15.004", random.Random(9))
BLOCKS = [IMAGE[start : start + BLOCK_LENGTH - 2] for start in range(0, len(IMAGE), BLOCK_LENGTH - 2)]
ERASE = routines.start(
    Routine.ERASE_MEMORY, flash_memory.region(firmware_image.BASE_ADDRESS, firmware_image.FLASH_SIZE)
)
CHECK = routines.start(Routine.CHECK_DEPENDENCIES)
DOWNLOAD = b"\x34\x00" + flash_memory.region(firmware_image.BASE_ADDRESS, len(IMAGE))


class ServerBench:
    """A server with vehicle, faults and flash memory. `become` runs the method of a state, named in a test case."""

    def __init__(self, *, busy_rate: float = 0.0, error_rate: float = 0.0, seed: int = 1) -> None:
        rng = random.Random(seed)
        self.vehicle = Vehicle(random.Random(seed))
        self.faults = FaultMemory(random.Random(seed), self.vehicle)
        self.flash = FlashMemory(rng, BLOCK_LENGTH, error_rate)
        self.server = UdsServer(rng, self.vehicle, self.faults, self.flash, busy_rate)
        self.now = 100.0

    def reply(self, request: bytes, *, functional: bool = False) -> UdsReply | None:
        self.now += 0.1
        return self.server.reply_to(request, self.now, functional=functional)

    def ask(self, request: bytes | str, *, functional: bool = False) -> bytes:
        """Return the response's payload, empty if there is no response."""
        payload = bytes.fromhex(request) if isinstance(request, str) else request
        reply = self.reply(payload, functional=functional)
        return reply.payload if reply else b""

    def expect(self, request: bytes | str, response: str) -> None:
        payload = self.ask(request)
        assert payload.hex(" ").startswith(response), (request, payload.hex(" "))

    def become(self, state: str) -> ServerBench:
        getattr(self, state)()
        return self

    def default(self) -> None:
        """Keep the state after power-on."""

    def driving(self) -> None:
        self.vehicle.drive()
        self.now += 30
        self.vehicle.advance(self.now)

    def idling(self) -> None:
        self.vehicle.idle()

    def faulty(self) -> None:
        self.faults.set_random_codes()

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
