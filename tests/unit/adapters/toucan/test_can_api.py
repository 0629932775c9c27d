"""The binding, with the emulated library and with files that are no such library."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from struct import Struct
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.bit_timing import Timing
from cancorderd.adapters.failures import SettingsRefused
from cancorderd.adapters.toucan import can_api
from cancorderd.adapters.toucan.can_api import Library
from tests.support import toucan_stage
from tests.support.harness import PATIENCE_S
from tests.support.toucan_stage import Stage, Word

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        monkeypatch.setenv("TOUCAN_STAGE", stage.file)
        yield stage


def test_structures_have_the_sizes_of_the_interface() -> None:
    assert (can_api.MESSAGE.size, can_api.BITRATE.size) == (88, 24)
    # The data of can_message_t begin at 6, its timespec at 72; the data timing of can_bitrate_t at 14.
    message = can_api.MESSAGE.pack(1, 2, 3, b"\xaa", 4, 5)
    assert message[4:7] == b"\2\3\xaa"
    assert Struct("@ll").unpack_from(message, 72) == (4, 5)
    bitrate = can_api.by_timing(50_000_000, Timing(1, 2, 3, 4), Timing(5, 6, 7, 8))
    assert Struct("@i4H").unpack_from(bitrate) == (50_000_000, 1, 2, 3, 4)
    assert Struct("@4H").unpack_from(bitrate, 14) == (5, 6, 7, 8)


def test_machine_with_other_sizes_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(can_api, "MESSAGE", Struct("=IBB64s2xii"))  # a timespec of 32 bits
    with pytest.raises(SettingsRefused, match=r"can_message_t has 80 bytes here, not 88.*64-bit"):
        Library(stage.library)


def test_default_is_the_path_of_maccan() -> None:
    assert can_api.default_library("darwin") == "/usr/local/lib/libUVCANTOU.dylib"
    assert can_api.default_library("linux") == "libUVCANTOU.so"


def test_missing_library_is_refused_with_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "libUVCANTOU.so")
    with pytest.raises(SettingsRefused) as caught:
        Library(path)
    assert path in str(caught.value)
    assert "Install MacCAN-TouCAN" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("int can_test(void) { return 0; }", "can_init"),
        ("int nothing(void) { return 0; }", "can_test"),
    ],
)
def test_library_with_another_interface_is_refused(tmp_path: Path, text: str, function: str) -> None:
    source = tmp_path / "other.c"
    source.write_text(text)
    with pytest.raises(SettingsRefused, match=f"no CAN API V3 library .*{function}"):
        Library(str(toucan_stage.built(source)))


def test_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a library")
    with pytest.raises(SettingsRefused, match="no CAN library"):
        Library(str(file))


@pytest.mark.parametrize(("specification", "shown"), [(0x200, "0x200"), (0, "0x000")])
def test_library_of_another_specification_is_refused(stage: Stage, specification: int, shown: str) -> None:
    stage[Word.SPECIFICATION] = specification
    with pytest.raises(SettingsRefused, match=f"its specification is {shown}, not 0x300"):
        Library(stage.library)


def test_library_for_can_2_0_alone_is_refused(stage: Stage) -> None:
    stage[Word.CLASSIC_LAYOUT] = 1
    library = Library(stage.library)
    handle = library.init(0, 0)
    with pytest.raises(SettingsRefused, match=r"CAN 2\.0 alone"):
        library.check_layout(handle)
    stage[Word.CLASSIC_LAYOUT] = 0
    library.check_layout(handle)


def test_calls_reach_the_library(stage: Stage) -> None:
    library = Library(stage.library)
    assert library.test(0, 0) == (0, can_api.PRESENT)
    assert library.test(1, 0) == (0, can_api.ABSENT)
    assert library.test(8, 0) == (can_api.E_NOT_INITIALISED, can_api.NOT_TESTABLE)
    handle = library.init(0, can_api.ERR)
    assert handle == 0
    assert library.test(0, 0) == (0, can_api.OCCUPIED)
    assert library.status(handle) == (0, can_api.STOPPED)
    assert library.start(handle, can_api.by_index(-1)) == can_api.E_BAUDRATE
    assert library.start(handle, can_api.by_index(-2)) == 0
    assert library.bitrate(handle) == (50_000_000, 5, 14, 5, 4, 0, 0, 0, 0, 0)
    assert library.number(handle, can_api.P_CLOCK, 4) == 50_000_000
    assert library.number(handle, 9999, 4) is None
    assert library.status(handle) == (0, 0)
    assert library.texts(handle)["hardware"].startswith("TouCAN-USB")
    assert library.release(handle) == 0
    assert (stage[Word.INITS], stage[Word.RESETS], stage[Word.EXITS]) == (1, 1, 1)
    assert library.status(handle) == (can_api.E_HANDLE, 0)


def test_kill_wakes_a_waiting_read(stage: Stage) -> None:
    library = Library(stage.library)
    handle = library.init(0, 0)
    library.start(handle, can_api.by_index(0))
    slot = ctypes.create_string_buffer(88)
    answers: list[int] = []
    reader = threading.Thread(
        target=lambda: answers.append(library.read(handle, ctypes.addressof(slot), 65_535))
    )
    reader.start()
    deadline = time.monotonic() + PATIENCE_S
    while reader.is_alive() and time.monotonic() < deadline:
        library.kill(handle)  # until the thread is in the library
        reader.join(0.01)
    assert answers == [can_api.E_RX_EMPTY]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-1, "bus-off"),
        (-92, "device not there"),
        (-77, "error -77"),
        (-501, "error -501 of the adapter"),
        (-10_013, os.strerror(13)),
    ],
)
def test_codes_in_words(code: int, words: str) -> None:
    assert can_api.meaning(code) == words


def test_error_number_in_a_code() -> None:
    assert can_api.errno_of(-10_013) == 13
    assert can_api.errno_of(-99) is None


@pytest.mark.parametrize(
    ("code", "passing"),
    [(-20, True), (-50, True), (-101, True), (-92, False), (-90, False), (-10_005, False)],
)
def test_passing_codes(code: int, passing: bool) -> None:
    assert can_api.is_passing(code) is passing
