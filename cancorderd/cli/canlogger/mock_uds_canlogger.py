"""The command `cancorder-mock-uds-canlogger`: a simulated ECU and tester on one bus, in the foreground."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cancorderd.cli.canlogger import common_options
from cancorderd.cli.standard_streams import prepare

if TYPE_CHECKING:
    import argparse

COMMAND = "cancorder-mock-uds-canlogger"
_TITLE = "ECUconnect-Logger Mock-UDS"
_DESCRIPTION = """\
A simulated tester reprograms a simulated ECU by UDS on CAN, session after session: identification, security
access, erasing, data transfer, trouble codes, reset; OBD-II polling in between. For trying diagnostic programs
without any hardware. Sessions run while a client is connected; with --async, they run at all times.
"""
_EPILOG = f"""\
{common_options.PROTOCOL_HELP}
{common_options.RECOVERY_HELP}
what is simulated:
  UDS: 0x10 sessions, 0x11 reset, 0x14 and 0x19 trouble codes, 0x22 identification, 0x27 security access,
  0x28, 0x31 erasing and checks, 0x34, 0x36 and 0x37 download, 0x85; OBD-II 01, 03 and 07 on 0x7DF.
  Now and then a request fails, and is repeated: busy (0x21), conditions not correct (0x22), invalid
  key (0x35), faults of the transfer (0x71, 0x72, 0x73).

examples:
  %(prog)s                             sessions begin with the first client
  %(prog)s --async -v                  sessions at all times, printed
  %(prog)s --speed 2.0                 twice as fast
  %(prog)s --no-loop                   one session for each client
  %(prog)s --tester-id 0x7E2 --ecu-id 0x7EA
"""


def arbitration_id(text: str) -> int:
    return int(text, 0)


def parser() -> argparse.ArgumentParser:
    command = common_options.parser(COMMAND, _DESCRIPTION, _EPILOG)
    command.add_argument(
        "--tester-id", type=arbitration_id, default=0x7E0, metavar="ID",
        help="arbitration id of the tester's requests (default: 0x7E0)",
    )  # fmt: skip
    command.add_argument(
        "--ecu-id", type=arbitration_id, default=0x7E8, metavar="ID",
        help="arbitration id of the ECU's answers (default: 0x7E8)",
    )  # fmt: skip
    command.add_argument(
        "--speed", "-s", type=float, default=1.0, metavar="FACTOR",
        help="speed in relation to a real ECU (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--no-loop", action="store_true", help="one session for each client, and nothing after it"
    )
    command.add_argument(
        "--async",
        dest="async_mode",
        action="store_true",
        help="sessions at all times, with or without clients",
    )
    common_options.add_last_options(command, _TITLE)
    return command


def main(arguments: list[str] | None = None) -> int:
    # Imported here, since `cancorderctl completion` needs the parser alone.
    from cancorderd.adapters.mock_settings import MockSettings
    from cancorderd.cli.canlogger import one_bus
    from cancorderd.cli.canlogger.settings_from_options import common_keys, settings_from_keys
    from cancorderd.protocol.frame import MAX_STANDARD_ID
    from cancorderd.simulator.limits import EXTENDED_IDS, STANDARD_IDS

    prepare()
    command = parser()
    options = command.parse_args(arguments)
    keys = common_keys(options) | {
        "interface": "mock",
        "tester_id": options.tester_id,
        "ecu_id": options.ecu_id,
        "extended": max(options.tester_id, options.ecu_id) > MAX_STANDARD_ID,
        "speed": options.speed,
        "loop": not options.no_loop,
        "start": "always" if options.async_mode else "client",
    }
    settings = settings_from_keys(command, MockSettings, keys)
    tester_id, ecu_id = f"0x{options.tester_id:03X}", f"0x{options.ecu_id:03X}"
    request_ids = {options.tester_id, STANDARD_IDS.functional, EXTENDED_IDS.functional}
    begins = "run at all times" if options.async_mode else "start when a client connects"
    return one_bus.run(
        one_bus.Plan(
            process=COMMAND,
            title=_TITLE,
            txt_record={"interface": "mock-uds", "tester_id": tester_id, "ecu_id": ecu_id},
            candidates=[one_bus.Candidate(settings)],
            start_lines=[
                "Mock UDS-on-CAN Logger starting...",
                f"TCP port: {common_options.port_label(options)}",
                f"Tester ID: {tester_id}, ECU ID: {ecu_id}",
                f"Speed: {options.speed}x, Loop: {not options.no_loop}",
                f"Mode: {'async' if options.async_mode else 'sync'}",
            ],
            ready_lines=[f"UDS sessions {begins}"],
            failure_text="The simulation could not be started!",
            verbose=options.verbose,
            uppercase=True,
            frame_prefix=lambda can_id: "TX " if can_id in request_ids else "RX ",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
