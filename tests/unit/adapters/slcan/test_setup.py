"""Setting an adapter up, in virtual time: firmware as people report it ends running at its bitrate, or says why not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cancorderd.adapters.failures import BusError, SettingsRefused
from cancorderd.adapters.slcan.commands import Command
from cancorderd.adapters.slcan.setup import LIMIT_S, SetUp, Stage
from tests.unit.adapters.slcan.virtual_adapter import VirtualAdapter, converse

COMMANDS = [
    Command(b"S6", required=True),
    Command(b"Z1", required=False),
    Command(b"V", required=False),
    Command(b"N", required=False),
    Command(b"O", required=True),
]
FD_COMMANDS = [COMMANDS[0], Command(b"Y2", required=True), *COMMANDS[1:]]
PLACE = "/dev/ttyACM0"


def conversation(adapter: VirtualAdapter, commands: list[Command] = COMMANDS) -> tuple[SetUp, float, bytes]:
    set_up = SetUp(commands, PLACE, 0.0)
    return set_up, *converse(set_up, adapter)


BANNERS = (
    b"some-firmware 1.0 ready\r\n",
    b"I (352) boot: start\r\n",
    b"\r\n\r\nboot\r\n",
    b"boot\n",
    b"boot\n\r",
    b"ready> ",
    b"\x00\xff\xfe\x07\x80\r",
    b"V1013\r",
    b"rst:0x1 (POWERON_RESET)\r\nload:0x3fff0030,len:1184\r\n\r\n",
    b"\a",
    b"\r\n",
)
texts = st.tuples(st.floats(0, 3), st.sampled_from(BANNERS))

EMPTY_LINES = (b"\r", b"\r\n")
"""Looks exactly like an acknowledgement."""


@st.composite
def adapters(draw: st.DrawFn, mutes: tuple[bytes, ...] = (b"",)) -> VirtualAdapter:
    deaf_s = draw(st.one_of(st.just(0.0), st.floats(0, 3)))
    drawn = draw(st.lists(texts, max_size=4)) if deaf_s else []
    delay_s = draw(st.one_of(st.floats(0.0005, 0.02), st.floats(0.02, 3)))
    text = [(deaf_s * time_s / 3, banner) for time_s, banner in drawn if len(banner) > 2]
    bare = [(deaf_s * time_s / 3, banner) for time_s, banner in drawn if len(banner) <= 2 and delay_s < 1][:1]
    if draw(st.booleans()) and delay_s < 0.05 and b"V1013\r" not in (banner for _, banner in text):
        # Fewer than the commands of a set-up: a line exactly when each answer is due could not be told from an adapter.
        times = draw(st.lists(st.floats(0, 3), max_size=4))
        bare += [(deaf_s * time_s / 3, draw(st.sampled_from(EMPTY_LINES))) for time_s in times]
    return VirtualAdapter(
        deaf_s=deaf_s,
        banner=text + bare,
        delay_s=delay_s,
        mute=draw(st.sampled_from(mutes)),
        line_end=draw(st.sampled_from([b"\r", b"\r\n"])),
        echo=draw(st.booleans()),
        strict=draw(st.booleans()),
        open=draw(st.booleans()),
        streams=draw(st.booleans()),
        version=draw(st.sampled_from([b"V1013", b"CANable\t2.5\tgit", b"v"])),
    )


@settings(max_examples=250, deadline=None)
@given(adapters(), st.sampled_from([COMMANDS, FD_COMMANDS]))
def test_adapter_that_answers_runs_at_its_bitrate_with_acknowledgement(
    adapter: VirtualAdapter, commands: list[Command]
) -> None:
    set_up, ended_s, _ = conversation(adapter, commands)
    assert set_up.proved
    assert ended_s <= LIMIT_S
    assert adapter.open
    assert adapter.opened_with[-1] == b"S6"
    assert set(adapter.opened_with) == {b"S6"}, "no wrong bitrate for a moment"
    assert "unacknowledged" not in set_up.details
    assert set_up.waiting(ended_s) == ""


MUTES = (b"CSYZVON", b"CSYZON", b"CSYZNLO", b"O", b"N", b"C", b"ZVN", b"S", b"CV", b"SO", b"ZN")


@settings(max_examples=250, deadline=None)
@given(adapters(MUTES))
def test_adapter_that_leaves_answers_out_runs_at_its_bitrate_or_says_why_not(adapter: VirtualAdapter) -> None:
    try:
        set_up, _, stream = conversation(adapter)
    except BusError as error:
        assert str(error).startswith(PLACE)
        assert set(adapter.opened_with) <= {b"S6"}
        return
    assert set_up.proved
    assert adapter.opened_s <= LIMIT_S
    assert set(adapter.opened_with) == {b"S6"}
    if b"S" in adapter.mute:
        assert "S6" in set_up.details["unacknowledged"]
        assert adapter.frame in stream, "its first frame is the proof"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 6), st.binary(max_size=40)), max_size=30))
def test_device_that_talks_by_itself_never_runs(noise: list[tuple[float, bytes]]) -> None:
    """Noise without a CR or BEL: a bare CR is all that an acknowledgement is."""
    banner = [(time_s, text.translate(None, b"\r\n\a")) for time_s, text in noise]
    set_up, ended_s, _ = conversation(VirtualAdapter(deaf_s=100, banner=banner))
    assert set_up.stage == Stage.UNPROVED
    assert "nothing acknowledged; no frame yet." in set_up.waiting(ended_s)


CASES: dict[str, tuple[dict[str, Any], float]] = {
    "plain": ({}, 0.5),
    "restarts, deaf for 1.2 s, prints a line": (
        {"deaf_s": 1.2, "banner": [(1.1, b"some-firmware 1.0 ready\r\n")]},
        3,
    ),
    "a line of a log just when S6 was sent": (
        {"deaf_s": 0.5, "banner": [(0.35, b"I (352) boot: start\r\n")]},
        3,
    ),
    "open, streams": ({"open": True, "streams": True, "bitrate": b"S0"}, 1),
    "open, streams, slow": ({"open": True, "streams": True, "bitrate": b"S0", "delay_s": 0.35}, 4),
    "goes on streaming": ({"open": True, "streams": True, "unstoppable": True}, 2),
    "empty lines while deaf": (
        {"deaf_s": 1.5, "banner": [(0.3, b"\r\n"), (0.8, b"\r\n"), (1.2, b"\r\nboot\r\n")]},
        6,
    ),
    "empty lines for acknowledgements, hears in the middle": (
        {"deaf_s": 0.345, "banner": [(0.1, b"\r\n"), (0.34, b"\r\n")]},
        6,
    ),
    "empty lines for every acknowledgement": (
        {"deaf_s": 2.9, "banner": [(number * 0.3, b"\r") for number in range(1, 10)]},
        6,
    ),
    "text and its line end with a pause between": (
        {"deaf_s": 2.9, "banner": [(number * 0.1, (b"boot", b"\r\n")[number % 2]) for number in range(29)]},
        6,
    ),
    "open, streams, line ends come late": (
        {
            "deaf_s": 2.9,
            "open": True,
            "frame": b"",
            "banner": [(number * 0.1, (b"t1230", b"\r")[number % 2]) for number in range(29)],
        },
        6,
    ),
    "answers 0.35 s late": ({"delay_s": 0.35}, 4),
    "answers 3 s late": ({"delay_s": 3.0}, LIMIT_S),
    "answers 3 s late, deaf for 3 s": ({"delay_s": 3.0, "deaf_s": 3.0}, LIMIT_S),
    "no Z, V, N": ({"mute": b"ZVN"}, 6),
    "refuses Z, V, N": ({"refused": b"ZVN"}, 1),
    "acknowledges everything": ({"unstoppable": True, "frame": b"", "version": b""}, 1),
    "acknowledges everything, streams": (
        {"unstoppable": True, "open": True, "streams": True, "version": b""},
        2,
    ),
    "prints a log all the time": (
        {"banner": [(0.4 * number, b"W (1352) can: queue 3/32\r\n") for number in range(60)]},
        8,
    ),
}


@pytest.mark.parametrize(("firmware", "within_s"), CASES.values(), ids=CASES)
def test_firmware_is_set_up(firmware: dict[str, Any], within_s: float) -> None:
    adapter = VirtualAdapter(**firmware)
    set_up, ended_s, _ = conversation(adapter)
    assert set_up.proved
    assert ended_s <= within_s
    assert adapter.opened_with == [b"S6"]
    assert "unacknowledged" not in set_up.details


@pytest.mark.parametrize(
    ("version", "within_s"), [(b"16e7497 github.com/normaldotcom/canable2.git", 5), (None, 8)]
)
def test_adapter_that_acknowledges_nothing_waits_for_its_first_frame(
    version: bytes | None, within_s: float
) -> None:
    adapter = VirtualAdapter(mute=b"CSZON" if version else b"CSZVON", version=version or b"", frame=b"")
    set_up, ended_s, _ = conversation(adapter)
    assert set_up.waiting(ended_s).startswith(f"{PLACE}: nothing acknowledged; no frame yet.")
    assert set(adapter.opened_with) == {b"S6"}
    fresh = VirtualAdapter(mute=adapter.mute, version=version or b"")
    set_up, ended_s, stream = conversation(fresh)
    assert set_up.proved
    assert ended_s < within_s
    assert set_up.details["unacknowledged"] == "S6, O"
    assert set_up.details.get("version") == (version and version.decode())
    assert fresh.frame in stream


@pytest.mark.parametrize("delay_s", [0.001, 0.35, 1.5])
@pytest.mark.parametrize("kind", [b"S", b"O"])
def test_refusal_counts_if_a_round_after_the_start_repeats_it(kind: bytes, delay_s: float) -> None:
    with pytest.raises(SettingsRefused, match=f"the adapter at {PLACE} refuses {kind.decode()}"):
        conversation(VirtualAdapter(refused=kind, delay_s=delay_s))


def test_refusal_that_is_not_repeated_is_no_refusal() -> None:
    adapter = VirtualAdapter(refused=b"S")
    set_up = SetUp(COMMANDS, PLACE, 0.0)
    _, _ = converse(set_up, adapter, until_s=1.0)
    assert not set_up.proved
    adapter.refused = b""
    text, now_s = b"", 1.0
    while not set_up.proved and now_s < LIMIT_S:
        text, _ = set_up.step(adapter.output(now_s), now_s)
        if text:
            adapter.hear(text, now_s)
        now_s += 0.01
    assert set_up.proved
    assert adapter.opened_with == [b"S6"]


TALKERS = {
    "GPS": b"$GPGGA,123519,4807.038,N,01131.000,E\r\n",
    "boot loader": b"\x00\x01U-Boot 2022.01\n",
    "shell": b"sh: not found\r\n# ",
    "modem": b"C\r\r\nERROR\r\n",
}


@pytest.mark.parametrize("text", TALKERS.values(), ids=TALKERS)
def test_other_device_is_named_by_its_first_bytes_after_three_seconds(text: bytes) -> None:
    banner = [(number / 2, text) for number in range(60)]
    set_up = SetUp(COMMANDS, PLACE, 0.0)
    ended_s, _ = converse(set_up, VirtualAdapter(deaf_s=100, banner=banner), until_s=3.0)
    reason = set_up.waiting(ended_s)
    assert "It sends '" in reason
    assert reason.isprintable()
    assert next(word for word in ("$GPGGA", "U-Boot", "sh: not", "ERROR") if word.encode() in text) in reason
    converse(set_up, VirtualAdapter(deaf_s=100), until_s=LIMIT_S)
    assert not set_up.proved


def test_device_that_talks_without_a_pause_does_not_hold_the_set_up_back() -> None:
    banner = [(number / 50, b"$GPGGA,123519,4807.038,N\n") for number in range(2000)]
    set_up, ended_s, _ = conversation(VirtualAdapter(deaf_s=100, banner=banner))
    assert set_up.stage == Stage.UNPROVED
    assert "It sends '$GPGGA" in set_up.waiting(ended_s)


def test_set_up_that_comes_to_no_end_is_a_bus_error() -> None:
    adapter = VirtualAdapter(
        line_end=b"\r\r"
    )  # two acknowledgements for each command: which is the right one?
    with pytest.raises(BusError, match=f"^{PLACE}: the answers to the settings come too late or contradict"):
        conversation(adapter)
    assert not adapter.open


def test_set_up_that_stood_still_reads_the_answer_first() -> None:
    set_up = SetUp(COMMANDS, PLACE, 0.0)
    assert set_up.step(b"", 0.0) == (b"C\r", b"")
    assert set_up.step(b"\r", 3.0) == (b"", b"")
    assert set_up.step(b"", 3.1)[0] == b"S6\r"
