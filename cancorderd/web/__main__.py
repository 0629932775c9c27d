"""`python -P -m cancorderd.web --socket PATH [--channel N]`: the process of the page for browsers.

PATH is the control socket of the daemon. N is the inherited descriptor of a channel to the daemon that started this
process; without it, systemd or a person did, and the process goes on when the daemon restarts. It ends with a status of
`SideExit`.
"""

from __future__ import annotations

import asyncio
import faulthandler
import sys

from cancorderd.standard_error import STANDARD_ERROR, print_without_waiting
from cancorderd.web.server import WebServer

_USAGE = "usage: python -P -m cancorderd.web --socket PATH [--channel DESCRIPTOR]"


def main(arguments: list[str]) -> int:
    print_without_waiting()
    faulthandler.enable(STANDARD_ERROR)
    match arguments:
        case ["--socket", path]:
            return asyncio.run(_run(path, None))
        case ["--socket", path, "--channel", descriptor]:
            return asyncio.run(_run(path, int(descriptor)))
    print(_USAGE, file=sys.stderr)
    return 2


async def _run(path: str, descriptor: int | None) -> int:
    return await WebServer(path, descriptor).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
