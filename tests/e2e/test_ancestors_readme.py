"""The ancestor's README, word for word: the lines that run on any machine.

Lines for SocketCAN and serial adapters run in the lab (`tests/lab/guest/test_one_bus.py`), lines for gs_usb adapters
in the USB lab; a test here checks that no line is left out. Not run are `pip3 install`, the build of MacCAN's library,
and the macOS tools `dns-sd` and `system_profiler`, which are not ours.
"""

from __future__ import annotations

import re
import shlex
import shutil
import struct
import subprocess
import textwrap
from pathlib import Path

import pytest

from cancorderd.cli.canlogger import canlogger, mock_uds_canlogger, rusoku_canlogger
from cancorderd.protocol.frame import EXTENDED, FD, Frame
from cancorderd.protocol.packets import PacketDecoder, encode
from tests.e2e.ancestors_commands import README, Needs, found, lines, needs
from tests.support.network_namespace import run_module

PARSERS = {one.COMMAND: one.parser for one in (canlogger, mock_uds_canlogger, rusoku_canlogger)}


@pytest.mark.parametrize("line", lines(Needs.NOTHING, Needs.TOUCAN))
def test_line_serves_frames(line: str, tmp_path: Path) -> None:
    # In a network namespace of its own: it announces itself, and 42420 is free.
    done = run_module("tests.e2e.ancestors_command_as_user", tmp_path, line)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("line", lines())
def test_line_is_understood(line: str) -> None:
    words = shlex.split(line.removeprefix("sudo ").removesuffix("&"))
    PARSERS[words[0]]().parse_args(words[1:])


def test_no_line_is_left_out() -> None:
    # Counted by another expression than the one that finds them.
    assert len(found()) == len(re.findall(r"utils/\w+\.py|cancorder-", README)) > 30
    assert {needs(line) for line in lines()} == set(Needs)


def test_pack_frame_gives_our_packets() -> None:
    # The README's text lacks its indentation.
    program = textwrap.dedent("""\
        import struct
        import time
        def pack_frame(can_id, is_extended, data, is_fd=False, bitrate_switch=False, error_state_indicator=False):
            timestamp = int(time.time() * 1_000_000) # microseconds
            flags = (1 if is_extended else 0)
            if is_fd:
                flags |= 1 << 1
                if bitrate_switch:
                    flags |= 1 << 2
                if error_state_indicator:
                    flags |= 1 << 3
            dlc = len(data)
            return struct.pack(">QIBB", timestamp, can_id, flags, dlc) + bytes(data)
        # Example: CAN ID 0x123, standard frame, data [0x01, 0x02]
        packet = pack_frame(0x123, False, [0x01, 0x02])
        """)
    assert "\n".join(line.strip() for line in program.splitlines()) in README
    names: dict[str, object] = {}
    exec(program, names)
    pack = names["pack_frame"]
    cases = [
        (0x123, False, [1, 2], {}),
        (0x1ABCDEF0, True, range(8), {}),
        (1, False, bytes(64), {"is_fd": True}),
    ]
    for can_id, extended, data, more in cases:
        packet = pack(can_id, extended, data, **more)  # type: ignore[operator]
        flags = (EXTENDED if extended else 0) | (FD if more else 0)
        (stamp_us,) = struct.unpack_from(">Q", packet)
        assert packet == encode(Frame(stamp_us, can_id, flags, bytes(data)))


def test_the_c_example_reads_our_packets(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler here")
    example = README.partition("C (unpacking a frame):\n")[2].partition("Testing the Protocol")[0]
    packet = encode(Frame(1_700_000_000_000_000, 0x7E8, 0, bytes(8)))
    source = tmp_path / "example.c"
    source.write_text(
        "#define _DEFAULT_SOURCE\n#include <endian.h>\n#include <stdint.h>\n#include <stdio.h>\n"
        f"{example}\nint main(void) {{ static const uint8_t packet[] = {{{', '.join(map(str, packet))}}};\n"
        "parse_frame(packet); return 0; }\n"
    )
    subprocess.run(["cc", "-w", "-o", tmp_path / "example", source], check=True, timeout=60)
    output = subprocess.run([tmp_path / "example"], check=True, capture_output=True, text=True).stdout
    assert output == "CAN ID: 0x7E8, DLC: 8, Timestamp: 1700000000000000\n"


def test_the_first_packet_that_it_shows_is_read() -> None:
    (dump,) = re.findall(r"^00000000: ([0-9a-f ]+?)  ?\S*\.\.", README, re.MULTILINE)
    decoder = PacketDecoder()
    decoder.receive(bytes.fromhex(dump) + bytes.fromhex("23456789abcd"))
    frame = decoder.next_frame()
    assert frame == Frame(0x00018F4C45A68F20, 0x123, 0, bytes.fromhex("01ff23456789abcd"))
