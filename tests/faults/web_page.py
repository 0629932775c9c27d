"""Requests to the page that were changed at random: no error of the daemon, and buses serve on."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import re
import select
import socket
from typing import TYPE_CHECKING

from cancorderd.web.password import line_of
from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import SlcanBus
from tests.support.harness import PATIENCE_S, poll

if TYPE_CHECKING:
    from pathlib import Path

PORT = 8427
_ANSWER_S = 0.05
"""Time for the answer to a request that may have no end."""
_PASSWORD, _TOKEN = "password", "0123456789abcdef"
_HOST = f"Host: 127.0.0.1:{PORT}\r\nOrigin: http://127.0.0.1:{PORT}\r\n".encode()
_COMMON = _HOST + b"Authorization: Basic " + base64.b64encode(f"a:{_PASSWORD}".encode()) + b"\r\n"
_UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def _text(message: object) -> bytes:
    """Return a WebSocket frame of a client (RFC 6455, 5.2), with a mask of zeros."""
    payload = json.dumps(message).encode()
    return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload


_WATCH = {"kind": "watch", "bus": "a", "frames": True, "decode": ["7E8"]}
_REQUESTS = (
    b"GET / HTTP/1.1\r\n" + _COMMON + b"\r\n",
    b"GET /metrics HTTP/1.1\r\n" + _HOST + b"Authorization: Bearer " + _TOKEN.encode() + b"\r\n\r\n",
    b"GET /v1/status HTTP/1.1\r\n" + _COMMON + b"Cookie: a=b; c\r\n\r\n",
    b"POST /v1/buses/b/restart HTTP/1.1\r\n" + _COMMON + b"Content-Length: 2\r\n\r\n{}",
    b"GET /ws HTTP/1.1\r\n" + _COMMON + _UPGRADE + b"\r\n" + _text(_WATCH) + _text({"kind": "ready"}),
)
"""Requests that change nothing: there is no bus b."""
_PIECES = (
    b"\r\n", b"\r\n\r\n", b"\0", b"\xff\xfe", b": ", b" HTTP/9.9", b"/..", b"%00", b"%zz", b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n", b"Range: bytes=9-0\r\n", b'Cookie: \xff="\r\n',
    b"Authorization: Bearer \xff\r\n", b"Authorization: Basic \xff\r\n", b"Host: [\r\n", b"X: " + b"y" * 9000 + b"\r\n",
    b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x89\x80\0\0\0\0", b"\xc1\x81\0\0\0\0\xff",
)  # fmt: skip


def fuzzed(folder: Path, scale: Scale) -> Row:
    """The answers are refusals or good ones; nothing is left of the connections."""
    row = Row(times=scale.of(300, 20_000))
    if not os.environ.get("CANCORDER_FAULTS_APART"):
        row.note = "not run: it needs a network namespace of its own"
        row.times = 0
        return row
    chance = random.Random(6)
    for name, text in (("password", line_of(_PASSWORD, bytes(16))), ("token", _TOKEN)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    web = (
        f'[web]\nlisten = ["127.0.0.1"]\nport = {PORT}\npassword_file = "{folder}/password"\n'
        f'token_file = "{folder}/token"\n'
    )
    with SlcanBus(folder, rate=500, more_buses=web) as bus:
        poll(_answers, what="an answer of the page")
        statuses: dict[str, int] = {}
        for _ in range(row.times):
            answer = _answer_to(_changed(chance))
            kind = answer[9:12].decode("ascii", "replace") or "none"
            statuses[kind] = statuses.get(kind, 0) + 1
            row.expect(
                not answer or bool(re.match(rb"HTTP/\d\.\d \d{3} ", answer)),
                f"an answer begins with {answer[:20]!r}",
            )
        row.figures["answers"] = statuses
        row.expect("500" not in statuses, f"{statuses.get('500')} requests met an error of the page")
        poll(_answers, what="an answer of the page")
        row.expect(bus.seen.connections == 1, f"{bus.seen.connections} connections of the viewer")
        row.accounts.append(bus.account())
        row.mistakes += bus.seen.mistakes()
        log = bus.daemon.log.read_text(errors="replace")
        traces = re.findall(r"Traceback.*?^.*?\w+(?:Error|Exception).*?$", log, re.DOTALL | re.MULTILINE)
        row.expect(not traces, f"there are exceptions in the log, such as {traces[:1]}")
    return row


def _answers() -> bool:
    try:
        return _answer_to(_REQUESTS[0], within_s=PATIENCE_S).startswith(b"HTTP/1.1 200 ")
    except ConnectionRefusedError:
        return False


def _changed(chance: random.Random) -> bytes:
    """Return a request with some random changes."""
    data = bytearray(chance.choice(_REQUESTS))
    for _ in range(chance.choice((0, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[at:at] = chance.choice(_PIECES)
            case 1:  # a header of its own
                end = data.find(b"\r\n", at) + 2
                data[end:end] = chance.choice(_PIECES)
            case 2:
                del data[at : at + chance.randint(1, 20)]
            case 3:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                data[at:at] = chance.randbytes(chance.choice((1, 3, 300)))
    return bytes(data) or b"\n"


def _answer_to(request: bytes, within_s: float = _ANSWER_S) -> bytes:
    """Return the beginning of the answer to a request; empty if there is none in time, or the connection is ended."""
    with (
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
        socket.create_connection(("127.0.0.1", PORT), PATIENCE_S) as connection,
    ):
        connection.sendall(request)
        if select.select([connection], [], [], within_s)[0]:
            return connection.recv(1 << 16)
    return b""


DRILLS = (Drill("fuzzed", "requests to the page changed at random", fuzzed),)
