"""can-isotp reassembles complete sessions: every exchange is complete, and the image is in the frames."""

from __future__ import annotations

import itertools
import zlib

import pytest

from tests.support.isotp_listener import Exchange
from tests.unit.simulator.simulation_runs import SEEDS, every_run, listen

PENDING = 0x78


@every_run
def test_every_request_has_one_final_response(seed: int, variant: str) -> None:
    for exchange in listen(seed, variant):
        *before, last = [response.payload for response in exchange.responses]
        service = exchange.request.payload[0]
        assert before == [bytes([0x7F, service, PENDING])] * len(before)
        assert last[0] == service + 0x40 or (last[:2] == bytes([0x7F, service]) and last[2] != PENDING)


def rebuild(exchanges: list[Exchange]) -> bytes:
    """Return the image that the ECU wrote: the accepted blocks, each at its address."""
    memory: dict[int, bytes] = {}
    address = counter = 0
    for exchange in exchanges:
        request, response = exchange.request.payload, exchange.responses[-1].payload
        if request[0] == 0x34 and response[0] == 0x74:
            address, counter = int.from_bytes(request[3:7]), 0
        if request[0] == 0x36 and response[0] == 0x76:
            assert request[1] == response[1] == (counter + 1) % 0x100
            memory[address] = request[2:]
            address, counter = address + len(request) - 2, counter + 1
    return b"".join(memory[start] for start in sorted(memory))


@pytest.mark.parametrize("variant", ["session", "errors", "long blocks"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_image_can_be_rebuilt_from_the_frames(seed: int, variant: str) -> None:
    exchanges = listen(seed, variant)
    image = rebuild(exchanges)
    # The first RequestDownload contains the size of the whole image.
    first = next(exchange.request.payload for exchange in exchanges if exchange.request.payload[0] == 0x34)
    assert len(image) == int.from_bytes(first[7:11])
    assert zlib.crc32(image[:-4]).to_bytes(4) == image[-4:]
    checks = [exchange for exchange in exchanges if exchange.request.payload == b"\x31\x01\xff\x01"]
    assert checks[-1].responses[-1].payload == b"\x71\x01\xff\x01\x00"


def test_block_counters_wrap_in_some_sessions() -> None:
    counters = [
        exchange.request.payload[1]
        for seed in SEEDS
        for exchange in listen(seed, "session")
        if exchange.request.payload[0] == 0x36
    ]
    assert (0xFF, 0x00, 0x01) in zip(counters, counters[1:], counters[2:], strict=False)


def test_all_services_and_negative_responses_occur() -> None:
    runs = [
        *itertools.product(SEEDS, ["session", "errors", "lockout"]),
        *itertools.product(SEEDS[:3], ["polling"]),
    ]
    exchanges = [exchange for run in runs for exchange in listen(*run)]
    assert {exchange.request.payload[0] for exchange in exchanges} >= {
        *(0x10, 0x11, 0x14, 0x19, 0x22, 0x27, 0x28, 0x2E, 0x31, 0x34, 0x36, 0x37, 0x3E, 0x85),
        *(0x01, 0x03, 0x07, 0x09),
    }
    responses = [response.payload for exchange in exchanges for response in exchange.responses]
    codes = {response[2] for response in responses if response[0] == 0x7F}
    assert codes == {0x21, 0x22, 0x24, 0x31, 0x33, 0x35, 0x36, 0x37, 0x71, 0x72, 0x73, 0x78}
