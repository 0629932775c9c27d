"""The shell around the state machine, with fake workers and ports."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.config import settings_json
from cancorderd.config.record_settings import RecordSettings
from cancorderd.ipc.backoff import Backoff
from cancorderd.ipc.channel import Channel
from cancorderd.ipc.messages import BusReport, ClientReport, Counts, Notice, RecordingEnd, RecordingReport
from cancorderd.supervisor import bus_listeners
from cancorderd.supervisor.bus import Bus
from cancorderd.supervisor.heartbeat import CHECK_EVERY_S, FIRST_MESSAGE_WITHIN_S, Check
from cancorderd.supervisor.listeners import Renewal
from cancorderd.supervisor.state_machine import TRANSITIONS, Action, Event, Policy, State
from cancorderd.supervisor.status import bus_status
from tests.support.harness import PATIENCE_S
from tests.unit.supervisor.fakes import (
    CAN_ERROR,
    REFUSED,
    FakePorts,
    FakeTap,
    FakeWorker,
    Workers,
    in_event_loop,
    mock_settings,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cancorderd.adapters.mock_settings import MockSettings
    from cancorderd.ipc.messages import WorkerStart
    from cancorderd.supervisor.worker_process import HeldClient

AT_ONCE = Backoff(0.0, 0.0)
LATER = Backoff(60.0, 60.0)


def in_time(now_s: float) -> Check:
    """Return a check of a supervisor that did not stand still."""
    return Check(now_s, now_s - CHECK_EVERY_S, CHECK_EVERY_S)


class Rig:
    """A bus with fakes around it."""

    def __init__(
        self,
        settings: MockSettings | None = None,
        policy: Policy | None = None,
        tap: FakeTap | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers or Workers()
        self.ports = FakePorts()
        self.changes: list[State] = []
        """The state at each call of `changed`."""
        self.bus = Bus(
            settings or mock_settings(),
            self.ports,
            lambda bus: self.changes.append(bus.state),
            policy=policy or Policy(errors=LATER, crashes=LATER),
            tap=tap,
            new_worker=self.workers,
        )

    def run(self) -> None:
        """Bring the bus to RUNNING."""
        self.bus.handle(Event.START)
        self.workers.last.report("running")

    def close(self) -> None:
        """Close the sockets that the test has left open."""
        clients = [held for worker in self.workers.made for held in worker.clients]
        for sock in (*self.ports.open, *(held.socket for held in (*clients, *self.bus.held_clients))):
            sock.close()


NewRig = Callable[..., Rig]


@pytest.fixture
def new_rig() -> Iterator[NewRig]:
    """Makes rigs, and closes them at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **keywords: stack.enter_context(
            contextlib.closing(Rig(*arguments, **keywords))
        )


@pytest.fixture
def client() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection: the worker's end, and the client's."""
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_S)
    theirs.settimeout(PATIENCE_S)
    with ours, theirs:
        yield ours, theirs


@in_event_loop
async def test_start_opens_the_port_and_starts_a_worker_with_the_settings(new_rig: NewRig) -> None:
    rig = new_rig(mock_settings(bitrate=250_000))
    rig.bus.handle(Event.START)
    worker = rig.workers.last
    assert (rig.bus.state, rig.bus.port, rig.bus.reachable) == (State.STARTING, 42420, True)
    assert worker.first_message
    assert json.loads(worker.first_message.settings)["bitrate"] == 250_000
    assert worker.listeners == rig.ports.open
    assert rig.changes == [State.STARTING]


@in_event_loop
async def test_a_disabled_bus_has_no_automatic_port_as_after_a_start_of_the_daemon(new_rig: NewRig) -> None:
    automatic, fixed = new_rig(mock_settings(port=None)), new_rig(mock_settings(port=5001))
    for rig in (automatic, fixed):
        rig.run()
        assert rig.bus.port
        rig.bus.replace_settings(mock_settings(port=rig.bus.settings.port, enabled=False))
        rig.workers.last.exit(0)
        assert (rig.bus.state, rig.bus.reachable) == (State.DISABLED, False)
    assert (automatic.bus.port, fixed.bus.port) == (None, 5001)
    automatic.bus.replace_settings(mock_settings(port=None))
    assert (automatic.bus.state, automatic.bus.port) == (State.STARTING, 42420)


@in_event_loop
async def test_reports_of_the_worker_change_the_state_and_the_counts(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.bus.handle(Event.START)
    rig.workers.last.report("starting")
    assert rig.bus.state == State.STARTING
    rig.workers.last.report("waiting", "there is no /dev/ttyACM0. Plug the adapter in.")
    assert (rig.bus.state, rig.bus.reason) == (
        State.WAITING,
        "there is no /dev/ttyACM0. Plug the adapter in.",
    )
    rig.workers.last.report("running", counts=Counts(received=7))
    assert (rig.bus.state, rig.bus.reason, rig.bus.counts.received) == (State.RUNNING, "", 7)


@in_event_loop
async def test_a_report_without_news_changes_nothing(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.run()
    before = list(rig.changes)
    rig.workers.last.report("running")
    assert rig.changes == before


@in_event_loop
async def test_the_next_worker_continues_the_counts(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(errors=AT_ONCE))
    rig.run()
    rig.workers.last.report(counts=Counts(received=100))
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    await until(lambda: len(rig.workers.made) == 2)
    assert rig.workers.last.first_message
    assert rig.workers.last.first_message.earlier == Counts(received=100)


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        (CAN_ERROR, State.BACKOFF, "the adapter is gone"),
        (REFUSED, State.FAILED, "the adapter is gone"),
        (0, State.BACKOFF, "the worker was stopped by another program"),
        (-9, State.BACKOFF, "the worker was ended by signal 9 (Killed)"),
        (1, State.BACKOFF, "the worker ended with status 1; its trace is in the log"),
    ],
)
@in_event_loop
async def test_the_exit_status_decides_state_and_reason(
    new_rig: NewRig, status: int, state: State, reason: str
) -> None:
    rig = new_rig()
    rig.run()
    rig.workers.last.exit(status, "the adapter is gone")
    assert (rig.bus.state, rig.bus.reason, rig.bus.last_error) == (state, reason, reason)
    assert rig.bus.pid is None


@in_event_loop
async def test_the_reason_of_an_earlier_worker_is_not_kept(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(errors=AT_ONCE, crashes=AT_ONCE))
    rig.run()
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    await until(lambda: len(rig.workers.made) == 2)
    rig.workers.last.exit(CAN_ERROR)
    assert rig.bus.reason == ""


@in_event_loop
async def test_last_error_stays_when_the_bus_runs_again(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(errors=AT_ONCE))
    rig.run()
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    await until(lambda: len(rig.workers.made) == 2)
    rig.workers.last.report("running")
    assert (rig.bus.reason, rig.bus.last_error, rig.bus.lifecycle.restarts) == ("", "unplugged", 1)


@in_event_loop
async def test_a_port_that_is_unavailable_is_tried_again(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(start_again_s=0.0))
    rig.ports.unavailable = "port 5000 is in use by nc (process 7). End that program or choose another port."
    rig.bus.handle(Event.START)
    assert (rig.bus.state, rig.bus.reason) == (State.FAILED, rig.ports.unavailable)
    assert not rig.bus.reachable
    assert not rig.workers.made
    rig.ports.unavailable = ""
    await until(lambda: rig.workers.made)
    assert rig.bus.state == State.STARTING


@in_event_loop
async def test_an_address_that_is_missing_is_in_the_status_until_it_comes(
    new_rig: NewRig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = ["192.0.2.99"]
    monkeypatch.setattr(bus_listeners, "missing", lambda _addresses: list(absent))
    caplog.set_level(logging.INFO)
    rig = new_rig()
    rig.run()
    assert bus_status(rig.bus)["listen_missing"] == ["192.0.2.99"]
    assert (rig.bus.state, rig.bus.reason) == (State.RUNNING, "")
    rig.bus.check_addresses()
    assert caplog.text.count("this machine has no address 192.0.2.99 (yet). Correct listen") == 1
    absent.clear()
    before = len(rig.changes)
    rig.bus.check_addresses()
    assert bus_status(rig.bus)["listen_missing"] == []
    assert "this machine has 192.0.2.99 now" in caplog.text
    assert len(rig.changes) == before + 1
    absent.append("192.0.2.99")
    rig.bus.check_addresses()
    rig.bus.handle(Event.STOP)
    rig.workers.last.exit(0)
    assert bus_status(rig.bus)["listen_missing"] == []
    rig.bus.check_addresses()
    assert bus_status(rig.bus)["listen_missing"] == [], "a stopped bus listens nowhere"


@in_event_loop
async def test_a_running_worker_gets_the_sockets_of_addresses_that_come(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.run()
    (first,) = rig.workers.last.listeners
    with socket.socket() as fresh:
        rig.ports.renewals = [Renewal([], [first], [fresh])]
        rig.bus.check_addresses()
        assert rig.workers.last.listeners == [first, fresh]
        assert rig.workers.last.signals == []
        rig.workers.last.exit(CAN_ERROR)
        rig.bus.handle(Event.START)
        assert rig.workers.last.listeners == [fresh], "so does the next worker"


@in_event_loop
async def test_the_port_stays_open_between_workers(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(crashes=AT_ONCE))
    rig.run()
    rig.workers.last.exit(1)
    assert rig.bus.reachable
    await until(lambda: len(rig.workers.made) == 2)
    assert rig.ports.opened == 1


@in_event_loop
async def test_clients_pass_to_the_next_worker_with_their_unsent_bytes(
    new_rig: NewRig,
    client: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = client
    rig = new_rig(policy=Policy(errors=AT_ONCE))
    rig.run()
    rig.workers.last.hand_over(ours, b"unsent")
    ours.close()
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    assert [status["address"] for status in bus_status(rig.bus)["clients"]] == ["10.0.0.7:40001"]
    await until(lambda: len(rig.workers.made) == 2)
    (held,) = rig.workers.last.clients
    assert held.unsent == b"unsent"
    held.socket.sendall(b"still connected")
    assert theirs.recv(100) == b"still connected"
    # The first report shows that the worker has its own copy; the fake one has none.
    rig.workers.last.report("running")
    assert theirs.recv(100) == b""


@in_event_loop
async def test_a_worker_that_ends_before_its_first_report_loses_no_client(
    new_rig: NewRig,
    client: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = client
    rig = new_rig(policy=Policy(errors=AT_ONCE, crashes=AT_ONCE))
    rig.run()
    rig.workers.last.hand_over(ours)
    ours.close()
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    await until(lambda: len(rig.workers.made) == 2)
    rig.workers.last.exit(1)
    await until(lambda: len(rig.workers.made) == 3)
    (held,) = rig.workers.last.clients
    held.socket.sendall(b"still connected")
    assert theirs.recv(100) == b"still connected"
    rig.bus.handle(Event.STOP)
    rig.workers.last.exit(0)


@in_event_loop
async def test_stop_ends_the_worker_then_closes_the_port_and_disconnects_the_clients(
    new_rig: NewRig,
    client: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = client
    rig = new_rig()
    rig.run()
    rig.bus.handle(Event.STOP)
    assert rig.workers.last.signals == [signal.SIGTERM]
    assert rig.bus.reachable, "the worker still runs"
    rig.workers.last.hand_over(ours)
    ours.close()
    rig.workers.last.exit(0)
    await rig.bus.wait_for_worker()
    assert (rig.bus.state, rig.bus.reachable, rig.ports.open) == (State.STOPPED, False, [])
    assert theirs.recv(100) == b""


@in_event_loop
async def test_a_worker_that_does_not_stop_gets_sigabrt_then_sigkill(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(terminate_s=0.0, abort_s=0.0))
    rig.run()
    rig.bus.handle(Event.STOP)
    await until(lambda: len(rig.workers.last.signals) == 3)
    assert rig.workers.last.signals == [signal.SIGTERM, signal.SIGABRT, signal.SIGKILL]


@in_event_loop
async def test_stop_cancels_the_timer_of_the_next_worker(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(errors=AT_ONCE))
    rig.run()
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    rig.bus.handle(Event.STOP)
    rig.bus.handle(Event.DISABLE)
    await until(lambda: rig.bus.state == State.DISABLED)
    assert len(rig.workers.made) == 1


@in_event_loop
async def test_a_worker_without_heartbeat_is_stopped_and_replaced(new_rig: NewRig) -> None:
    rig = new_rig(mock_settings(watchdog=5.0), Policy(crashes=AT_ONCE))
    rig.run()
    now_s = rig.workers.last.last_message_s
    assert now_s is not None
    rig.bus.check_heartbeat(in_time(now_s + 4.9))
    assert rig.bus.state == State.RUNNING
    rig.bus.check_heartbeat(in_time(now_s + 7))
    assert (rig.bus.state, rig.bus.reason) == (State.STOPPING, "the worker sent no heartbeat for 7 s")
    assert rig.workers.last.signals == [signal.SIGTERM]
    rig.bus.check_heartbeat(in_time(now_s + 8))
    rig.workers.last.exit(0)
    assert rig.bus.last_error == "the worker sent no heartbeat for 7 s"
    await until(lambda: len(rig.workers.made) == 2)


@in_event_loop
async def test_a_supervisor_that_stood_still_reads_first_and_grants_the_watchdog_anew(
    new_rig: NewRig,
) -> None:
    rig = new_rig(mock_settings(watchdog=5.0))
    rig.run()
    worker = rig.workers.last
    now_s = time.monotonic()
    worker.last_message_s = now_s - 26
    rig.bus.check_heartbeat(Check(now_s - 13, now_s - 26, CHECK_EVERY_S))
    assert worker.signals == []
    worker.arrived.append(BusReport("waiting", "unplugged", None, Counts(), [], {}))
    rig.bus.check_heartbeat(Check(now_s, now_s - 13, CHECK_EVERY_S))
    assert (rig.bus.state, rig.bus.reason) == (State.WAITING, "unplugged")
    worker.last_message_s = now_s
    rig.bus.check_heartbeat(in_time(now_s + 4.9))
    assert worker.signals == []
    rig.bus.check_heartbeat(in_time(now_s + 5.1))
    assert worker.signals == [signal.SIGTERM]


@in_event_loop
async def test_messages_that_have_arrived_are_read_before_a_worker_is_judged(new_rig: NewRig) -> None:
    rig = new_rig(mock_settings(watchdog=5.0))
    rig.run()
    worker = rig.workers.last
    assert worker.last_message_s is not None
    now_s = worker.last_message_s
    worker.last_message_s -= 10
    worker.arrived.append(BusReport("running", "", None, Counts(), [], {}))
    rig.bus.check_heartbeat(in_time(now_s))
    assert (rig.bus.state, worker.signals) == (State.RUNNING, [])


@in_event_loop
async def test_the_watchdog_counts_from_the_first_message(new_rig: NewRig) -> None:
    rig = new_rig(mock_settings(watchdog=5.0), Policy(crashes=AT_ONCE))
    begin_s = time.monotonic()
    rig.bus.handle(Event.START)
    rig.bus.check_heartbeat(in_time(begin_s + FIRST_MESSAGE_WITHIN_S - 0.1))
    assert rig.workers.last.signals == []
    rig.bus.check_heartbeat(in_time(time.monotonic() + FIRST_MESSAGE_WITHIN_S + 0.1))
    assert rig.bus.reason == "the worker sent no heartbeat for 60 s after its start"
    # The next worker has its own 60 s.
    rig.workers.last.exit(-signal.SIGKILL)
    await until(lambda: len(rig.workers.made) == 2)
    rig.bus.check_heartbeat(in_time(time.monotonic() + 30))
    assert rig.bus.state == State.STARTING


@in_event_loop
async def test_the_timer_that_proves_a_worker_leaves_the_reason_alone(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(stable_s=0.01))
    rig.bus.handle(Event.START)
    rig.workers.last.report("running")
    rig.workers.last.report("waiting", "unplugged")
    await until(lambda: rig.bus.lifecycle.proved)
    assert (rig.bus.state, rig.bus.reason) == (State.WAITING, "unplugged")


@in_event_loop
async def test_notices_are_logged_with_bus_and_state(
    new_rig: NewRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig = new_rig()
    rig.run()
    with caplog.at_level(logging.INFO, "cancorderd.bus"):
        rig.workers.last.send(Notice("warning", "client 10.0.0.7:40001 is too slow"))
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "client 10.0.0.7:40001 is too slow")
    assert record.__dict__.items() >= {"bus": "body", "state": "running"}.items()


@in_event_loop
async def test_a_tap_gets_a_stream_for_each_run_and_the_rest_at_the_end(new_rig: NewRig) -> None:
    tap = FakeTap()
    rig = new_rig(policy=Policy(errors=AT_ONCE, crashes=AT_ONCE), tap=tap)
    rig.run()
    (held,) = rig.workers.last.clients
    assert held.handover.tap
    assert [report.state for report in tap.reports] == ["running"]
    # A worker that ends in good order hands its tap over: the stream goes on.
    with socket.socket() as stream:
        rig.workers.last.hand_over(stream, b"unsent", tap=True)
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    assert bus_status(rig.bus)["clients"] == [], "a tap is no client"
    await until(lambda: len(rig.workers.made) == 2)
    assert (tap.streams, len(rig.workers.last.clients)) == (1, 1)
    # A killed worker takes the stream along: the next one gets a new stream.
    rig.workers.last.report()
    rig.workers.last.exit(-9)
    await until(lambda: len(rig.workers.made) == 3)
    assert tap.streams == 2
    rig.workers.last.report()
    rig.bus.handle(Event.STOP)
    with socket.socket() as stream:
        rig.workers.last.hand_over(stream, b"the rest", tap=True)
    rig.workers.last.exit(0)
    assert tap.rest == b"the rest"


@in_event_loop
async def test_new_settings_with_another_port_move_the_port(new_rig: NewRig) -> None:
    rig = new_rig(mock_settings(port=5000))
    rig.run()
    (before,) = rig.ports.open
    rig.bus.replace_settings(mock_settings(port=5001), restart=True)
    assert before not in rig.ports.open
    assert (rig.bus.state, rig.bus.reason) == (State.STOPPING, "settings changed")
    rig.workers.last.exit(0)
    assert (rig.bus.port, rig.bus.reachable, len(rig.workers.made)) == (5001, True, 2)


@in_event_loop
async def test_new_settings_for_the_supervisor_alone_leave_the_worker_running(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.run()
    before = len(rig.changes)
    rig.bus.replace_settings(mock_settings(zeroconf=False), restart=False)
    assert (rig.bus.state, len(rig.workers.made)) == (State.RUNNING, 1)
    assert len(rig.changes) == before + 1, "the announcer has to know"


@in_event_loop
async def test_new_settings_can_disable_and_enable(new_rig: NewRig) -> None:
    rig = new_rig(mock_settings(enabled=False))
    rig.bus.replace_settings(mock_settings(), restart=False)
    assert rig.changes == [State.STARTING]
    rig.bus.replace_settings(mock_settings(enabled=False), restart=False)
    rig.workers.last.exit(0)
    assert (rig.bus.state, rig.bus.reachable) == (State.DISABLED, False)


@in_event_loop
async def test_a_stopped_bus_stays_stopped_with_new_settings(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.run()
    rig.bus.handle(Event.STOP)
    rig.workers.last.exit(0)
    rig.bus.replace_settings(mock_settings(speed=2.0), restart=True)
    assert rig.bus.state == State.STOPPED


@in_event_loop
async def test_status_of_a_recorded_bus(new_rig: NewRig) -> None:
    rig = new_rig(mock_settings(record={"directory": "/tmp/recordings"}))
    recording = bus_status(rig.bus)["recording"]
    assert recording
    assert (recording["state"], recording["reason"]) == ("stopped", "the bus is stopped")
    rig.run()
    assert rig.bus.report
    report = rig.bus.report._replace(recording=RecordingReport("recording", "", "/tmp/a.log", 812))
    rig.workers.last.send(report._replace(counts=Counts(recorded=40, unrecorded=2)))
    assert bus_status(rig.bus)["recording"] == {
        "state": "recording",
        "reason": "",
        "file": "/tmp/a.log",
        "bytes": 812,
        "frames": 40,
        "dropped": 2,
    }


@in_event_loop
async def test_since_is_the_time_of_the_latest_change_of_state(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.run()
    since = rig.bus.since
    assert time.time() - since < PATIENCE_S
    rig.workers.last.report("running", "the controller is error-passive")
    assert (rig.bus.reason, rig.bus.since) == ("the controller is error-passive", since)


@in_event_loop
async def test_frames_of_a_crashed_worker_are_counted_as_unknown(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(crashes=AT_ONCE))
    rig.run()
    rig.workers.last.report_busy()
    rig.workers.last.exit(-9)
    assert bus_status(rig.bus)["lost"]["unknown"] == 0, "the next source is not open"
    await until(lambda: len(rig.workers.made) == 2)
    rig.workers.last.report("running", counts=Counts(received=10_000))
    unknown = bus_status(rig.bus)["lost"]["unknown"]
    assert unknown > 0
    rig.workers.last.report("running", counts=Counts(received=10_010))
    assert rig.bus.counts == Counts(received=10_010, lost_unknown=unknown)


@in_event_loop
async def test_frames_that_wait_for_slow_clients_are_counted_when_a_worker_crashes(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(crashes=AT_ONCE, errors=AT_ONCE))
    rig.run()
    slow = [ClientReport(f"10.0.0.{number}:1", 0.0, 5, 0, 2200) for number in (1, 2)]
    counts = Counts(received=1000, payload_bytes=8000)
    rig.workers.last.report(counts=counts, clients=slow)
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    await until(lambda: len(rig.workers.made) == 2)
    assert rig.bus.counts.lost_clients == 0, "they are handed over"
    rig.workers.last.report(counts=counts, clients=slow)
    rig.workers.last.exit(-9)
    assert rig.bus.counts.lost_clients == 200
    await until(lambda: len(rig.workers.made) == 3)
    rig.workers.last.exit(-9)
    assert rig.bus.counts.lost_clients == 200, "counted once"


@pytest.mark.parametrize(
    ("state", "status", "reason"), [("running", CAN_ERROR, "unplugged"), ("waiting", -9, "")]
)
@in_event_loop
async def test_nothing_is_unknown_after_an_end_in_order_or_without_an_adapter(
    new_rig: NewRig, state: str, status: int, reason: str
) -> None:
    rig = new_rig(policy=Policy(crashes=AT_ONCE, errors=AT_ONCE))
    rig.run()
    rig.workers.last.report_busy()
    rig.workers.last.report(state)
    rig.workers.last.exit(status, reason)
    await until(lambda: len(rig.workers.made) == 2)
    rig.workers.last.report("running")
    assert rig.bus.counts.lost_unknown == 0


@in_event_loop
async def test_an_adapter_that_is_absent_after_a_crash_ends_the_loss(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(crashes=AT_ONCE))
    rig.run()
    rig.workers.last.report_busy()
    rig.workers.last.exit(-9)
    await until(lambda: len(rig.workers.made) == 2)
    rig.workers.last.report("waiting", "unplugged")
    unknown = rig.bus.counts.lost_unknown
    assert unknown > 0
    rig.workers.last.report("running")
    assert rig.bus.counts.lost_unknown == unknown


@in_event_loop
async def test_frames_are_lost_while_the_adapter_is_set_up_after_a_crash(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(crashes=AT_ONCE))
    rig.run()
    rig.workers.last.report_busy()
    rig.workers.last.exit(-9)
    await until(lambda: len(rig.workers.made) == 2)
    rig.workers.last.report("waiting", "is being set up", proving=True)
    assert rig.bus.counts.lost_unknown == 0, "the loss goes on"
    rig.workers.last.report("running")
    assert rig.bus.counts.lost_unknown > 0


@in_event_loop
async def test_a_bus_that_is_stopped_after_a_crash_loses_nothing_more(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.run()
    rig.workers.last.report_busy()
    rig.workers.last.exit(-9)
    rig.bus.handle(Event.STOP)
    unknown = rig.bus.counts.lost_unknown
    assert unknown > 0
    rig.bus.handle(Event.START)
    rig.workers.last.report("running")
    assert rig.bus.counts.lost_unknown == unknown


@in_event_loop
async def test_frames_that_a_recorder_writes_after_its_worker_are_counted(new_rig: NewRig) -> None:
    rig = new_rig(mock_settings(record=RecordSettings(directory="/r")), policy=Policy(errors=AT_ONCE))
    copies: list[socket.socket] = []
    start = FakeWorker.start

    def start_with_copy(self: FakeWorker, bus: str, first: WorkerStart, listeners: Any, clients: Any) -> None:
        copies.append(listeners[-1].dup())
        start(self, bus, first, listeners[:-1], clients)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FakeWorker, "start", start_with_copy)
        rig.run()
        rig.workers.last.report(counts=Counts(received=100, recorded=60))
        rig.workers.last.exit(CAN_ERROR, "unplugged")
        await until(lambda: len(rig.workers.made) == 2)
        rig.workers.last.report("running", counts=Counts(received=107, recorded=64))
    with copies[0]:
        Channel(copies[0]).send(RecordingEnd(95, 0))
    await until(lambda: rig.bus.counts.unrecorded)
    assert rig.bus.counts == Counts(received=107, recorded=99, unrecorded=5)
    rig.workers.last.exit(CAN_ERROR, "unplugged again")
    copies[1].close()
    await until(lambda: rig.bus.counts.unrecorded > 5)
    assert rig.bus.counts == Counts(received=107, recorded=99, unrecorded=8), "3 of its own 7 are in no file"
    for copy in copies[2:]:
        copy.close()


@in_event_loop
async def test_a_recording_that_stops_or_goes_on_is_a_change(new_rig: NewRig) -> None:
    rig = new_rig(mock_settings(record=RecordSettings(directory="/r")))
    rig.run()
    changes = []
    for state, reason in (
        ("recording", ""),
        ("stopped", "full"),
        ("stopped", "still full"),
        ("recording", ""),
    ):
        before = len(rig.changes)
        rig.workers.last.send(
            BusReport("running", "", None, Counts(), [], {}, RecordingReport(state, reason, "", 0))
        )
        changes.append(len(rig.changes) - before)
    assert changes == [1, 1, 0, 1]


@in_event_loop
async def test_gone_clients_are_dropped_before_the_next_worker_and_the_others_stay(new_rig: NewRig) -> None:
    rig = new_rig(policy=Policy(errors=AT_ONCE))
    rig.run()
    pairs = [socket.socketpair() for _ in range(3)]
    for ours, _ in pairs:
        rig.workers.last.hand_over(ours)
        ours.close()
    pairs[1][1].close()
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    await until(lambda: len(rig.workers.made) == 2)
    assert rig.workers.last.first_message
    assert rig.workers.last.first_message.clients == len(rig.workers.last.clients) == 2
    for _, theirs in pairs:
        theirs.close()


@in_event_loop
async def test_gone_clients_are_dropped_while_the_bus_waits_for_its_next_worker(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.run()
    ours, theirs = socket.socketpair()
    rig.workers.last.hand_over(ours)
    ours.close()
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    rig.bus.check_heartbeat(in_time(time.monotonic()))
    assert len(rig.bus.held_clients) == 1
    theirs.close()
    rig.bus.check_heartbeat(in_time(time.monotonic()))
    assert rig.bus.held_clients == []


class FailingWorker(FakeWorker):
    """A worker that cannot be started, while there is an `error`."""

    error: Exception | None = None

    def start(
        self,
        bus: str,
        first_message: WorkerStart,
        listeners: Sequence[socket.socket],
        clients: Sequence[HeldClient],
    ) -> None:
        if self.error:
            raise self.error
        super().start(bus, first_message, listeners, clients)


START_ERRORS = [
    (OSError(errno.EMFILE, "Too many open files"), "used up its descriptors"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "/usr/bin/python3"), "/usr/bin/python3"),
    (TypeError("Object of type set is not JSON serializable"), "Object of type set"),
    (RecursionError("maximum recursion depth exceeded"), "maximum recursion depth"),
    (MemoryError(), "no memory left"),
]


@pytest.mark.parametrize(("error", "reason"), START_ERRORS, ids=lambda value: type(value).__name__)
@in_event_loop
async def test_a_start_that_fails_is_a_failure_with_its_reason_and_tried_again(
    new_rig: NewRig, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    rig = new_rig(policy=Policy(start_again_s=0.0), workers=Workers(FailingWorker))
    monkeypatch.setattr(FailingWorker, "error", error)
    rig.bus.handle(Event.START)
    assert rig.bus.state == State.FAILED
    assert reason in rig.bus.reason
    assert rig.bus.last_error == rig.bus.reason
    await rig.bus.wait_for_worker()
    monkeypatch.setattr(FailingWorker, "error", None)
    await until(lambda: rig.bus.state == State.STARTING)
    rig.workers.last.report("running")
    assert (rig.bus.state, rig.bus.reason) == (State.RUNNING, "")


@in_event_loop
async def test_a_start_that_fails_keeps_the_clients_for_the_next_worker(
    new_rig: NewRig, monkeypatch: pytest.MonkeyPatch, client: tuple[socket.socket, socket.socket]
) -> None:
    ours, _ = client
    rig = new_rig(policy=Policy(errors=AT_ONCE, start_again_s=0.0), workers=Workers(FailingWorker))
    rig.run()
    rig.workers.last.hand_over(ours, b"unsent")
    monkeypatch.setattr(FailingWorker, "error", OSError(errno.EMFILE, "Too many open files"))
    rig.workers.last.exit(CAN_ERROR, "unplugged")
    await until(lambda: rig.bus.state == State.FAILED)
    assert len(rig.bus.held_clients) == 1
    monkeypatch.setattr(FailingWorker, "error", None)
    await until(lambda: rig.bus.state == State.STARTING)
    assert [held.unsent for held in rig.workers.last.clients] == [b"unsent"]


@pytest.mark.parametrize("event", [Event.STOP, Event.DISABLE, Event.START, Event.RESTART])
@in_event_loop
async def test_commands_after_a_start_that_failed(
    new_rig: NewRig, monkeypatch: pytest.MonkeyPatch, event: Event
) -> None:
    rig = new_rig(workers=Workers(FailingWorker))
    monkeypatch.setattr(FailingWorker, "error", OSError(errno.EMFILE, "Too many open files"))
    rig.bus.handle(Event.START)
    rig.bus.handle(event)
    expected = {Event.STOP: State.STOPPED, Event.DISABLE: State.DISABLED}.get(event, State.FAILED)
    assert (rig.bus.state, rig.bus.reachable) == (expected, expected == State.FAILED)


@in_event_loop
async def test_a_restart_whose_start_fails_is_not_stopping_for_ever(
    new_rig: NewRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = new_rig(workers=Workers(FailingWorker))
    rig.run()
    rig.bus.handle(Event.RESTART)
    monkeypatch.setattr(FailingWorker, "error", OSError(errno.EMFILE, "Too many open files"))
    rig.workers.last.exit(0)
    assert rig.bus.state == State.FAILED


@in_event_loop
async def test_whatever_prevents_a_start_is_an_event(
    new_rig: NewRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the worker is chosen, too: the port, the tap, the settings."""
    tap = FakeTap()
    rig = new_rig(mock_settings(), tap=tap)

    def fail(*_: object) -> None:
        raise KeyError("a mistake of ours")

    states: list[State] = []
    for owner, name in ((rig.ports, "open_port"), (tap, "open_stream"), (settings_json, "to_json")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            rig.bus.handle(Event.START)
            states.append(rig.bus.state)
            assert "KeyError: 'a mistake of ours'" in rig.bus.reason
            rig.bus.handle(Event.STOP)
            states.append(rig.bus.state)
    assert states == [State.FAILED, State.STOPPED] * 3
    rig.run()
    assert rig.bus.state == State.RUNNING


def test_a_start_is_the_last_effect_of_every_transition() -> None:
    """A start that fails is handled within it: later effects would undo those of the failure."""
    for transition in TRANSITIONS:
        assert Action.SPAWN not in transition.steps[:-1]


@in_event_loop
async def test_a_recording_that_ends_late_touches_no_other_bus_of_that_name(new_rig: NewRig) -> None:
    rig = new_rig(mock_settings(record=RecordSettings(directory="/r")))
    rig.run()
    rig.workers.last.report(counts=Counts(received=9))
    for listener in rig.workers.last.listeners[1:]:
        listener.close()
    rig.bus.handle(Event.DISABLE)
    rig.workers.last.exit(0, "stopped")
    before = len(rig.changes)
    await until(lambda: rig.bus.counts.unrecorded == 9)
    assert len(rig.changes) == before, (
        "a change of a bus that is gone would withdraw its successor's announcement"
    )
