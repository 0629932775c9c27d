"""Rights of the users of a hub in a box: the subjects that each may publish to and subscribe to, and no others."""

from __future__ import annotations

import re

from cancorderd.hub.rights import gateway_account, viewer_account


def subjects(text: str, right: str) -> list[str]:
    (listed,) = re.findall(rf"{right}: \[ (.*?) \]", text)
    return re.findall(r'"(.*?)"', listed)


def imports(text: str, kind: str) -> list[str]:
    return re.findall(rf'\{{ {kind}: \{{ account: HUB, subject: "(.*?)" \}}(?:, to: ".*?")? \}}', text)


def test_a_gateway_writes_its_own_subjects_and_reads_its_own_stream() -> None:
    text = gateway_account("truck-17", "geheim")
    own = ["STREAM.INFO.CAN_truck-17", "STREAM.MSG.GET.CAN_truck-17"]
    assert subjects(text, "publish") == ["can.truck-17.*", *(f"hub.API.{request}" for request in own)]
    assert subjects(text, "subscribe") == ["_INBOX_truck-17.>"]
    assert imports(text, "service") == ["can.truck-17.*", *(f"$JS.API.{request}" for request in own)]
    assert imports(text, "stream") == []
    assert 'user: "truck-17", password: "geheim"' in text
    assert text.splitlines()[1] == '"GATEWAY_truck-17" {'


def test_a_viewer_reads_all_streams_and_writes_none() -> None:
    text = viewer_account("bench", "geheim")
    requests = ["STREAM.NAMES", "STREAM.INFO.*", "DIRECT.GET.*"]
    assert subjects(text, "publish") == [f"hub.API.{request}" for request in requests]
    assert subjects(text, "subscribe") == ["_INBOX_bench.>", "can.*.*"]
    assert imports(text, "service") == [f"$JS.API.{request}" for request in requests]
    assert imports(text, "stream") == ["stored.*.*"]
    assert 'user: "bench", password: "geheim"' in text
    assert text.splitlines()[1] == '"VIEWER_bench" {'


def test_requests_to_jetstream_reach_the_account_that_has_it() -> None:
    for text in (gateway_account("truck", "x"), viewer_account("bench", "x")):
        assert 'mappings: { "$JS.API.>": "hub.API.>" }' in text
        for request in imports(text, "service"):
            if request.startswith("$JS.API."):
                assert f'"{request}" }}, to: "{request.replace("$JS.", "hub.")}"' in text
        assert text.startswith("# Secret. Written by cancorderctl hub add; cancorderctl hub rm removes it.\n")
        assert text.count("{") == text.count("}")
