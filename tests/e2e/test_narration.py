"""The narration of a mock bus: in the log of the daemon, and on the terminal of the one-bus command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.harness import Client, free_port, poll
from tests.support.one_bus import OneBus

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Daemon


def test_verbose_names_each_phase_and_shows_the_right_number_of_clients() -> None:
    options = ("--speed", "20", "--no-loop", "--service-name", "my bench")
    with OneBus("mock_uds_canlogger", "-v", "-p", str(free_port()), *options) as logger:
        viewer = Client(logger.wait_port())
        logger.wait_line(r"\[uds] UDS session #1: the next begins when a client connects$")
        logger.wait_line(r"\[uds] UDS session #1: is complete$")
        phases = re.findall(r"\[uds] UDS session #1: (.*)", logger.text)
        for phase in ("starts", "identification", "security access", "erasing", "verification"):
            assert phase in phases
        assert {match[5] for match in logger.frames()} == {"1"}
        viewer.close()


def test_the_log_names_sessions_phases_and_injected_errors(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(
        '[bus.car]\ninterface = "mock"\nspeed = 20\nseed = 4\nwrong_key_rate = 0.6\nloop = false\nstart = "always"\n'
    )

    def logged(level: str, text: str) -> bool:
        return bool(re.search(rf" {level} +car: UDS session {text}$", running.log.read_text(), re.MULTILINE))

    poll(lambda: logged("info", "#1: is complete"), what="the end of the first session")
    assert logged("info", "#1: starts")
    assert logged("debug", "#1: identification")
    assert logged("info", r"#1: injected: an invalid key is sent \(0x35\)")
    # A client that comes begins a session, though the only one was over.
    viewer = Client(running.wait_port("car"))
    viewer.wait_frames(10)
    assert "UDS session" not in running.ctl("events", "car").stdout
    poll(lambda: logged("info", "#2: starts"), what="a session for the client")
    viewer.close()
