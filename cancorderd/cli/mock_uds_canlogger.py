"""The command `cancorder-mock-uds-canlogger`: a simulated ECU and tester on one bus, in the foreground."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cancorderd.cli import one_bus, one_bus_options
from cancorderd.cli.one_bus import Attempt, Plan
from cancorderd.config.model import MockBus
from cancorderd.frame import MAX_STANDARD_ID
from cancorderd.simulator.options import EXTENDED_IDS, STANDARD_IDS

if TYPE_CHECKING:
    import argparse

COMMAND = "cancorder-mock-uds-canlogger"
_TITLE = "ECUconnect-Logger Mock-UDS"
_DESCRIPTION = """\
A simulated tester reprograms a simulated ECU by UDS on CAN, session after session: identification, security
access, erasing, data transfer, trouble codes, reset; OBD-II polling in between. For trying diagnostic programs
without any hardware. Sessions run while a client is connected; --async lets them run at all times.
"""
_EPILOG = f"""\
{one_bus_options.SERVED}
what is simulated:
  UDS: 0x10 sessions, 0x11 reset, 0x14 and 0x19 trouble codes, 0x22 identification, 0x27 security access,
  0x28, 0x31 erasing and checks, 0x34, 0x36 and 0x37 download, 0x85; OBD-II 01, 03 and 07 on 0x7DF.
  Now and then something goes wrong, and is tried again: busy (0x21), conditions not correct (0x22), invalid
  key (0x35), faults of the transfer (0x71, 0x72, 0x73).

examples:
  %(prog)s                             sessions begin with the first client
  %(prog)s --async -v                  at all times, printed
  %(prog)s --speed 2.0                 twice as fast
  %(prog)s --no-loop                   one session for each client
  %(prog)s --tester-id 0x7E2 --ecu-id 0x7EA
"""


def arbitration_id(text: str) -> int:
    return int(text, 0)


def parser() -> argparse.ArgumentParser:
    made = one_bus_options.parser(COMMAND, _DESCRIPTION, _EPILOG)
    made.add_argument(
        "--tester-id", type=arbitration_id, default=0x7E0, metavar="ID",
        help="arbitration id of the tester's requests (default: 0x7E0)",
    )  # fmt: skip
    made.add_argument(
        "--ecu-id", type=arbitration_id, default=0x7E8, metavar="ID",
        help="arbitration id of the ECU's answers (default: 0x7E8)",
    )  # fmt: skip
    made.add_argument(
        "--speed", "-s", type=float, default=1.0, metavar="FACTOR",
        help="how many times faster than a real ECU it goes (default: %(default)s)",
    )  # fmt: skip
    made.add_argument("--no-loop", action="store_true", help="one session for each client, and nothing after")
    made.add_argument(
        "--async",
        dest="async_mode",
        action="store_true",
        help="sessions at all times, with or without clients",
    )
    one_bus_options.add_last(made, _TITLE)
    return made


def main(arguments: list[str] | None = None) -> int:
    made = parser()
    options = made.parse_args(arguments)
    keys = one_bus_options.common_keys(options) | {
        "interface": "mock",
        "tester_id": options.tester_id,
        "ecu_id": options.ecu_id,
        "extended": max(options.tester_id, options.ecu_id) > MAX_STANDARD_ID,
        "speed": options.speed,
        "loop": not options.no_loop,
        "start": "always" if options.async_mode else "client",
    }
    section = one_bus_options.section(made, MockBus, keys)
    tester_id, ecu_id = f"0x{options.tester_id:03X}", f"0x{options.ecu_id:03X}"
    requests = {options.tester_id, STANDARD_IDS[2], EXTENDED_IDS[2]}
    begins = "run at all times" if options.async_mode else "start when a client connects"
    return one_bus.run(
        Plan(
            process=COMMAND,
            title=_TITLE,
            text={"interface": "mock-uds", "tester_id": tester_id, "ecu_id": ecu_id},
            attempts=[Attempt(section)],
            beginning=[
                "Mock UDS-on-CAN Logger starting...",
                f"TCP port: {one_bus_options.port_label(options)}",
                f"Tester ID: {tester_id}, ECU ID: {ecu_id}",
                f"Speed: {options.speed}x, Loop: {not options.no_loop}",
                f"Mode: {'async' if options.async_mode else 'sync'}",
            ],
            ready=[f"UDS sessions {begins}"],
            nothing="The simulation could not be started!",
            verbose=options.verbose,
            upper=True,
            note=lambda arbitration_id: "TX " if arbitration_id in requests else "RX ",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
