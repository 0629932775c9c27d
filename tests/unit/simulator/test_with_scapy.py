"""scapy's UDS and OBD layers dissect every exchange of complete sessions to the last byte."""

from __future__ import annotations

from typing import ClassVar

import pytest
from scapy.contrib.automotive.obd.obd import OBD
from scapy.contrib.automotive.obd.pid.pids_00_1F import OBD_PID10
from scapy.contrib.automotive.uds import UDS, UDS_RC, UDS_RCPR, UDS_RDBIPR, UDS_WDBI, DTCSnapshot
from scapy.contrib.isotp import ISOTPMessageBuilder
from scapy.fields import ScalingField, ShortField, StrField, StrLenField
from scapy.layers.can import CAN
from scapy.packet import Packet, Raw, bind_layers

from tests.support.isotp_listener import IsotpListener
from tests.unit.simulator.simulation_runs import VARIANTS, every_run, listen, options, recorded

PENDING = 0x78


# scapy 2.8 decodes one byte of the air flow; in SAE J1979 it has two, in steps of 0.01 g/s.
OBD_PID10.fields_desc = [ScalingField("data", 0, scaling=0.01, unit="g/s", fmt="H")]


class Value(Packet):
    """Manufacturer-specific value: scapy itself knows the standardized part around it only."""

    fields_desc: ClassVar = [StrField("value", b"")]

    def answers(self, _other: Packet) -> bool:
        return True


class SnapshotValue(Packet):
    """Manufacturer-specific value in a snapshot."""

    fields_desc: ClassVar = [
        ShortField("did", 0),
        StrLenField("value", b"", length_from=lambda packet: {0xF40C: 2, 0xF405: 1, 0xF40D: 1}[packet.did]),
    ]

    def extract_padding(self, rest: bytes) -> tuple[bytes, bytes]:
        return b"", rest


DTCSnapshot.next_identifier_cb = staticmethod(  # type: ignore[method-assign]
    lambda _packet, _list, _last, rest: SnapshotValue if rest else None
)


for did_layer in (UDS_RDBIPR, UDS_WDBI):
    for did in (0xF187, 0xF18C, 0xF190, 0xF193, 0xF195, 0xF15A):
        bind_layers(did_layer, Value, dataIdentifier=did)
for routine_layer in (UDS_RC, UDS_RCPR):
    for routine in (0x0203, 0xFF00, 0xFF01):
        bind_layers(routine_layer, Value, routineIdentifier=routine)


@every_run
def test_scapy_decodes_every_exchange(seed: int, variant: str) -> None:
    for exchange in listen(seed, variant):
        payload = exchange.request.payload
        layer = UDS if payload[0] >= 0x10 else OBD
        request = layer(payload)
        assert Raw not in request
        assert bytes(request) == payload
        for message in exchange.responses:
            response = layer(message.payload)
            assert Raw not in response, response.show(dump=True)
            assert bytes(response) == message.payload
            # By default, scapy does not count "response pending" as a response.
            if message.payload[2:] != bytes([PENDING]) or message.payload[0] != 0x7F:
                assert response.answers(request), (request, response)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "fd"])
def test_scapy_and_can_isotp_reassemble_the_same_messages(variant: str) -> None:
    # scapy's builder does not support the FD form of single frames.
    frames, listener = recorded(0, variant), IsotpListener(options(0, variant))
    messages = list(listener.messages(frames))
    addresses = listener.addresses
    builder = ISOTPMessageBuilder(use_ext_address=False, rx_id=list(addresses[:3]))
    reassembled = []
    for frame in frames:
        if frame.arbitration_id in addresses[:3]:
            builder.feed(CAN(identifier=frame.arbitration_id, length=len(frame.data), data=frame.data))
            while (message := builder.pop()) is not None:
                reassembled.append((message.rx_id, message.data))
    assert reassembled == [(message.arbitration_id, message.payload) for message in messages]
