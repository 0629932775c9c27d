from cancorderd.adapters.wire_flags import wire_flags_by_byte
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD


def test_every_byte_is_fd_without_a_bit_for_it() -> None:
    table = wire_flags_by_byte(brs=0x04, esi=0x08)
    assert [table[bits] for bits in (0, 0x04, 0x08, 0x0C, 0xF3)] == [
        FD,
        FD | BRS,
        FD | ESI,
        FD | BRS | ESI,
        FD,
    ]


def test_brs_and_esi_exist_with_fd_only() -> None:
    table = wire_flags_by_byte(extended=0x01, fd=0x04, brs=0x08, esi=0x10)
    assert [table[bits] for bits in (0, 0x01, 0x18, 0x04, 0x1D)] == [
        0,
        EXTENDED,
        0,
        FD,
        EXTENDED | FD | BRS | ESI,
    ]
