"""udsoncan decodes every UDS exchange of complete sessions without an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from udsoncan import DidCodec
from udsoncan.Request import Request
from udsoncan.Response import Response
from udsoncan.services.DiagnosticSessionControl import DiagnosticSessionControl
from udsoncan.services.ReadDataByIdentifier import ReadDataByIdentifier
from udsoncan.services.ReadDTCInformation import ReadDTCInformation
from udsoncan.services.RoutineControl import RoutineControl
from udsoncan.services.SecurityAccess import SecurityAccess
from udsoncan.services.TransferData import TransferData

from tests.unit.simulator.simulation_runs import every_run, listen

SNAPSHOT_DIDS = {0xF40C: 2, 0xF405: 1, 0xF40D: 1}
LENGTHS = {0xF190: 17, 0xF18C: 11, 0xF195: 13, 0xF193: 8, 0xF187: 15, 0xF15A: 9, **SNAPSHOT_DIDS}


class Bytes(DidCodec):
    """Codec of a value with a fixed number of bytes."""

    def __init__(self, length: int) -> None:
        self._length = length

    def decode(self, string_bin: bytes) -> bytes:
        return string_bin

    def __len__(self) -> int:
        return self._length


DIDS: dict[Any, Any] = {did: Bytes(length) for did, length in LENGTHS.items()}


def read_data(request: Request, response: Response) -> None:
    identifiers = request.data or b""
    dids = [int.from_bytes(identifiers[i : i + 2]) for i in range(0, len(identifiers), 2)]
    read = ReadDataByIdentifier.interpret_response(response, dids, DIDS, tolerate_zero_padding=False)
    assert list(read.service_data.values) == dids


def read_faults(request: Request, response: Response) -> None:
    kind = request.subfunction or 0
    read = ReadDTCInformation.interpret_response(
        response, kind, tolerate_zero_padding=False, ignore_all_zero_dtc=False, didconfig=DIDS
    )
    assert read.service_data.subfunction_echo == kind
    if kind in (0x02, 0x0A):
        assert 4 * len(read.service_data.dtcs) + 2 == len(response.data or b"")
    if kind == 0x04:
        snapshots: list[Any] = list(read.service_data.dtcs[0].snapshots)
        assert [snapshot.did for snapshot in snapshots] == list(SNAPSHOT_DIDS)


def security(request: Request, response: Response) -> None:
    level = request.subfunction or 0
    mode = SecurityAccess.Mode.RequestSeed if level % 2 else SecurityAccess.Mode.SendKey
    read = SecurityAccess.interpret_response(response, mode)
    assert read.service_data.security_level_echo == level


def session(request: Request, response: Response) -> None:
    read = DiagnosticSessionControl.interpret_response(response).service_data
    assert read.session_echo == request.subfunction
    assert (read.p2_server_max, read.p2_star_server_max) == (0.05, 5.0)


def routine(request: Request, response: Response) -> None:
    read = RoutineControl.interpret_response(response).service_data
    assert read.control_type_echo == request.subfunction
    assert read.routine_id_echo == int.from_bytes((request.data or b"")[:2])


def transfer(request: Request, response: Response) -> None:
    read = TransferData.interpret_response(response).service_data
    assert read.sequence_number_echo == (request.data or b"")[0]


READERS: dict[int, Callable[[Request, Response], None]] = {
    0x10: session,
    0x19: read_faults,
    0x22: read_data,
    0x27: security,
    0x31: routine,
    0x36: transfer,
}


def interpret(request: Request, response: Response) -> None:
    """Decode the response with udsoncan, and compare its echoes with the request."""
    service: Any = request.service
    if reader := READERS.get(service.request_id()):
        reader(request, response)
    else:
        service.interpret_response(response)


@every_run
def test_udsoncan_decodes_every_exchange(seed: int, variant: str) -> None:
    for exchange in listen(seed, variant):
        payload = exchange.request.payload
        if payload[0] < 0x10:
            continue
        request = Request.from_payload(payload)
        assert request.service is not None
        assert request.get_payload() == payload
        for message in exchange.responses:
            response = Response.from_payload(message.payload)
            assert response.valid, response.invalid_reason
            assert response.service is request.service
            if response.positive:
                interpret(request, response)
            else:
                assert response.code in vars(Response.Code).values()
