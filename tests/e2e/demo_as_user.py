"""Run the demo in this new network namespace, and the commands that it prints; failures are exceptions."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile

from tests.support.harness import PATIENCE_S, ROOT, Client, poll
from tests.support.network_namespace import bring_loopback_up


def main() -> None:
    # A shell makes its background processes ignore Ctrl+C, and the demo would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    bring_loopback_up()
    with tempfile.TemporaryDirectory() as runtime:
        environment = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": runtime, "HOME": runtime}
        demo = subprocess.Popen(
            ["contrib/demo"], cwd=ROOT, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            printed = ""
            assert demo.stdout
            while "Ctrl+C ends the demo" not in printed:
                line = demo.stdout.readline()
                assert line, printed
                printed += line
            check(printed, environment)
        finally:
            demo.send_signal(signal.SIGINT)
            assert demo.wait(PATIENCE_S) == 0


def check(printed: str, environment: dict[str, str]) -> None:
    port = int(re.findall(r"port (\d+)", printed)[0])
    assert "to this machine alone" in printed
    dump = re.search(r"^ +(\S*cancorderctl .* dump demo)$", printed, re.MULTILINE)
    assert dump, printed
    status_command = [*dump[1].split()[:-2], "status"]

    def shown() -> str:
        return subprocess.run(
            status_command, capture_output=True, text=True, check=False, env=environment
        ).stdout

    poll(lambda: "waits for a client" in shown(), what="the reason why nothing comes")
    frames = subprocess.run(
        [*dump[1].split(), "-n", "2"], capture_output=True, text=True, check=False, env=environment
    )
    assert len(frames.stdout.splitlines()) == 2, frames
    with Client(port) as viewer:
        # The tester asks the ECU (0x7E0) for a diagnostic session (UDS 0x10), and the ECU accepts (0x50).
        requests = poll(lambda: [frame for frame in viewer.frames if frame.arbitration_id == 0x7E0])
        assert requests[0].data[1] == 0x10, requests
        answers = poll(lambda: [frame for frame in viewer.frames if frame.arbitration_id == 0x7E8])
        assert answers[0].data[1] == 0x50, answers
        command = re.search(r"^ +(\S*cancorderctl .*status)$", printed, re.MULTILINE)
        assert command, printed
        for line in (command[1], command[1].split()[0] + " status"):
            status = subprocess.run(
                line.split(), capture_output=True, text=True, check=False, env=environment
            )
            assert "1 of 1 buses running" in status.stdout, status
        assert not viewer.error


if __name__ == "__main__":
    main()
