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
