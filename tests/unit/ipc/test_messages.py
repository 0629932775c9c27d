from __future__ import annotations

import json
import typing

import pytest

from cancorderd.ipc.messages import (
    BacklogShare,
    BusReport,
    ClientHandover,
    ClientReport,
    Counts,
    EndRequest,
    FeedChange,
    ForwardedBusReport,
    ForwarderReport,
    ForwarderStart,
    GatewayLosses,
    Heartbeat,
    Latency,
    Message,
    NewFeed,
    NewListeners,
    Notice,
    RecordingEnd,
    RecordingReport,
    SafePosition,
    UnsentChunk,
    WorkerEnd,
    WorkerStart,
    from_json,
    printable_message,
    to_json,
)

MESSAGES: list[Message] = [
    WorkerStart('{"name": "body"}', Counts(received=3), 2),
    ClientHandover("127.0.0.1:5000", 1.5, 10, 2, 3),
    ClientHandover("", 1.5, 0, 0, 0, tap=True),
    ClientHandover("", 1.5, 0, 0, 0, tap=True, marked=True, internal=True),
    ClientHandover("127.0.0.1:5000", 1.5, 10, 2, 3, chunks=[UnsentChunk(48, 2), UnsentChunk(24, 1)]),
    RecordingReport("stopped", "the disk is full", "/r/body.log", 7, 2, 1),
    BusReport(
        "running",
        "",
        "error-active",
        Counts(1, 8, 2, 3, 4, 5, 6),
        [ClientReport("[::1]:7", 2.5, 1, 0, 0), ClientReport("[::1]:8", 2.5, 1, 0, 0)],
        {"version": "V1013"},
        RecordingReport("recording", "", "/r/body.log", 7, 2, 1),
    ),
    BusReport("waiting", "no such device", None, Counts(), [], {}),
    BusReport("running", "", None, Counts(), [], {}, last_frame_s=1.5, latency=Latency([1, 0, 2], 0.5)),
    BusReport("running", "", None, Counts(), [], {}, counted_to_s=2.5),
    Heartbeat(),
    Notice("warning", "ümlaut"),
    Notice("info", "UDS session #1: starts", event=False),
    WorkerEnd("unplugged"),
    WorkerStart("{}", backlog_share=1 << 20, earlier_latency=Latency([3, 4], 0.25)),
    NewListeners(),
    BacklogShare(5),
    RecordingEnd(1, 2, 3, 4),
    FeedChange(),
    ForwarderStart("{}", "truck-17", "/var/lib/cancorder/forward/truck-17"),
    NewFeed("body", 3),
    NewFeed("body", 3, SafePosition("0123456789abcdef", 7, 5, 1, 2, 3)),
    GatewayLosses("body", 1, 2, 3, 4),
    EndRequest(),
    ForwarderReport(
        True,
        "",
        "tls://hub:4222",
        False,
        False,
        1,
        2,
        3.5,
        4.5,
        5,
        [
            ForwardedBusReport(
                "body", 1, 2.5, 3, 4, 5, 6, 7, 8, SafePosition("0123456789abcdef", 7, 5, 1, 2, 3)
            ),
            ForwardedBusReport("a", 1, 2.5, 3, 4, 5, 6, 7, 8),
        ],
        [1, 2],
    ),
]


def types_of(value: object) -> object:
    """The type of a value and, for a tuple or a list, those of its items."""
    return (type(value), [types_of(item) for item in value] if isinstance(value, list | tuple) else None)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_json_keeps_every_field_and_its_type(message: Message) -> None:
    decoded = from_json(to_json(message))
    assert decoded == message
    assert types_of(decoded) == types_of(message)


def test_counts_of_two_workers_add_up() -> None:
    assert Counts(received=4, sent=1).plus(Counts(received=6, lost_kernel=2)) == Counts(
        received=10, sent=1, lost_kernel=2
    )


def test_every_kind_of_message_is_among_those() -> None:
    assert {type(message) for message in MESSAGES} == set(typing.get_args(Message))


def test_a_message_without_its_last_fields_gets_their_defaults() -> None:
    assert from_json(b'["Notice","info","text"]') == Notice("info", "text", event=True)
    assert from_json(b'["WorkerStart","{}"]') == WorkerStart("{}", Counts(), 0, None)


@pytest.mark.parametrize("data", [b'["Nonsense",1]', b'["BacklogShare"]', b"[]", b"{"])
def test_other_json_is_no_message(data: bytes) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        from_json(data)


def test_a_message_takes_one_line() -> None:
    data = to_json(Notice("warning", "two\nlines"))
    assert b"\n" not in data
    assert json.loads(data) == ["Notice", "warning", "two\nlines", True]


def test_counts_since_an_earlier_moment_are_the_difference() -> None:
    before = Counts(received=4, sent=1, lost_unknown=2)
    assert Counts(received=10, sent=1, lost_kernel=2, lost_unknown=3).minus(before) == Counts(
        received=6, lost_kernel=2, lost_unknown=1
    )


@pytest.mark.parametrize(
    ("client", "printer"),
    [
        (ClientHandover("", 0, 0, 0, 0, tap=True), True),
        (ClientHandover("", 0, 0, 0, 0, tap=True, internal=True), False),
        (ClientHandover("127.0.0.1:5", 0, 0, 0, 0), False),
    ],
)
def test_the_supervisors_own_tap_is_the_printer(client: ClientHandover, printer: bool) -> None:
    assert client.printer is printer


def test_texts_of_a_worker_become_printable_wherever_they_stand() -> None:
    raw = BusReport(
        "running",
        "a\x1b[2Jb",
        None,
        Counts(received=7),
        [ClientReport("c\x07", 2.5, 1, 0, 0)],
        {"ver\x00sion": "V\r1013", "plain": "text"},
        RecordingReport("stopped", "e\x9bf", "/r/body.log", 7, 2, 1),
    )
    safe = printable_message(raw)
    texts = [safe.reason, safe.clients[0].address, *safe.details, *safe.details.values()]
    assert safe.recording is not None
    texts.append(safe.recording.reason)
    assert all(text.isprintable() for text in texts)
    assert types_of(safe) == types_of(raw)
    assert (safe.counts, safe.state, safe.details["plain"], safe.recording.file) == (
        raw.counts, "running", "text", "/r/body.log",
    )  # fmt: skip


def test_a_text_of_a_worker_has_a_bound() -> None:
    assert len(printable_message(WorkerEnd("x" * 100_000)).reason) <= 3001
