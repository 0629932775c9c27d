from __future__ import annotations

import tempfile
import typing
from typing import Any

import pytest

from cancorderd.control import protocol
from cancorderd.control.protocol import demo_folder
from cancorderd.supervisor.changes import ChangeKind
from cancorderd.supervisor.state_machine import State
from contrib.openapi import generate
from tests.unit.cli.ctl.sample_status import RECORDING, sample_bus


def test_the_openapi_file_is_up_to_date() -> None:
    assert generate.FILE.read_text() == generate.text(), "run contrib/openapi/generate.py"
    assert generate.WEB_FILE.read_text() == generate.web_text(), "run contrib/openapi/generate.py"


def test_names_of_states_and_changes_are_the_supervisors() -> None:
    assert set(typing.get_args(protocol.StateName)) == set(State)
    assert set(typing.get_args(typing.get_type_hints(protocol.BusChange)["kind"])) == set(ChangeKind)
    assert set(State) >= protocol.GOOD_STATES


def test_only_root_and_the_daemons_own_user_may_make_changes() -> None:
    assert protocol.may_change(0, 1000)
    assert protocol.may_change(1000, 1000)
    assert not protocol.may_change(1001, 1000)


@pytest.mark.parametrize("runtime", ["", "run/user/7", "/" + "x" * 90, "."])
def test_a_runtime_folder_that_makes_no_sense_is_ignored(
    monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert demo_folder(7) == f"{tempfile.gettempdir()}/cancorder-7"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert demo_folder(7) == "/run/user/7/cancorder"


def test_without_a_folder_for_temporary_files_the_demo_is_looked_for_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError

    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert demo_folder(7) == "/tmp/cancorder-7"


@pytest.mark.parametrize(
    ("keys", "well"),
    [
        ({}, True),
        ({"recording": RECORDING}, True),
        ({"recording": RECORDING | {"reason": "the disk is full"}}, False),
        ({"recording": RECORDING | {"reason": "the disk is full"}, "state": "stopped"}, True),
        ({"state": "failed"}, False),
        ({"state": "waiting"}, False),
    ],
)
def test_a_bus_is_well_if_it_runs_and_is_recorded_as_it_should_be(keys: dict[str, Any], well: bool) -> None:
    bus = sample_bus(**{"state": "running", **keys})
    assert protocol.all_is_well(bus) is well


def test_impaired_recordings_are_counted_in_words() -> None:
    impaired = RECORDING | {"reason": "the disk is slow"}
    stopped = RECORDING | {"state": "stopped", "reason": "the disk is full"}
    assert protocol.impaired_recordings([sample_bus(), sample_bus(recording=RECORDING)]) == ""
    assert protocol.impaired_recordings([sample_bus(recording=stopped)]) == "1 recording stopped"
    assert (
        protocol.impaired_recordings([sample_bus(recording=stopped), sample_bus(recording=impaired)])
        == "2 recordings impaired"
    )


def test_the_index_lists_every_request() -> None:
    answer = protocol.index_answer("1.2.3")
    assert (answer["schema"], answer["version"]) == (1, "1.2.3")
    assert [(one["method"], one["path"], one["does"]) for one in answer["resources"]] == [
        ("GET", "/v1/status", "the state of the daemon and of every bus"),
        ("GET", "/v1/events", "past and new events as server-sent events; follow=0 for past ones"),
        ("GET", "/v1/buses/NAME/frames", "the frames of a bus, with remote and error frames"),
        ("POST", "/v1/reload", "apply the edited configuration; dry_run=1 shows the effect"),
        ("POST", "/v1/buses/NAME/start", "start a bus"),
        ("POST", "/v1/buses/NAME/stop", "stop a bus"),
        ("POST", "/v1/buses/NAME/restart", "restart a bus"),
    ]


@pytest.mark.parametrize(
    ("state", "good"),
    [
        ("running", True), ("disabled", True), ("stopped", True), ("starting", False), ("waiting", False),
        ("backoff", False), ("failed", False), ("stopping", False),
    ],
)  # fmt: skip
def test_good_states_are_those_in_which_nobody_has_to_look(state: str, good: bool) -> None:
    assert (state in protocol.GOOD_STATES) == good


@pytest.mark.parametrize(
    ("forward", "impaired"),
    [
        (None, False),
        ({"refused": False, "losing": False, "connected": False}, False),
        ({"refused": True, "losing": False, "connected": False}, True),
        ({"refused": False, "losing": True, "connected": True}, True),
    ],
)
def test_forwarding_is_impaired_if_it_loses_frames_or_is_refused_not_by_an_outage(
    forward: Any, impaired: bool
) -> None:
    assert protocol.forwarding_impaired(forward) == impaired


def test_commands_try_the_services_socket_and_then_that_of_the_users_demo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert list(protocol.sockets_to_try(7)) == [
        "/run/cancorder/control.sock",
        "/run/user/7/cancorder/control.sock",
    ]


def test_sockets_in_the_runtime_folder_are_no_longer_than_every_system_accepts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 74)
    assert demo_folder(7) == "/" + "x" * 74 + "/cancorder"
    assert len(list(protocol.sockets_to_try(7))[1]) < 103
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 75)
    assert demo_folder(7) == f"{tempfile.gettempdir()}/cancorder-7"


def test_exit_statuses_are_those_of_the_manual() -> None:
    assert {exit_.name: exit_.value for exit_ in protocol.Exit} == {
        "DONE": 0, "FAILED": 1, "USAGE": 2, "NOT_ALL_RUNNING": 3, "NO_PERMISSION": 4, "NOT_RUNNING": 7, "MISTAKES": 78,
    }  # fmt: skip
