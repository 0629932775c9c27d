"""Names at the hub: a stream per gateway, a subject per bus. Pure.

The stream CAN_<gateway> holds the subjects can.<gateway>.<bus>. A gateway's only writer is its own forwarder, so that
it can predict the sequence numbers of its stream.
"""

from __future__ import annotations

import re

GATEWAY_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A gateway's name is a part of a subject and of the name of a stream, which hold no dots, blanks and wildcards."""
_BUS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
"""As `config.bus_settings.BUS_NAME`."""
_STREAM = re.compile(rf"CAN_({GATEWAY_NAME.pattern})")
_SUBJECT = re.compile(rf"can\.({GATEWAY_NAME.pattern})\.({_BUS_NAME.pattern})")
_CODE_LENGTH = 8
_LONGEST_HOST = 64 - 1 - _CODE_LENGTH


def is_gateway_name(text: str) -> bool:
    return GATEWAY_NAME.fullmatch(text) is not None


def stream_name(gateway: str) -> str:
    return f"CAN_{gateway}"


def gateway_of_stream(stream: str) -> str | None:
    """Return the gateway that a stream belongs to, or None if it is no stream of a gateway."""
    found = _STREAM.fullmatch(stream)
    return found[1] if found else None


def subject(gateway: str, bus: str) -> str:
    return f"can.{gateway}.{bus}"


def all_subjects(gateway: str) -> str:
    """Return the subjects of all buses of a gateway, as a stream lists them: every bus is one token."""
    return f"can.{gateway}.*"


def parsed_subject(text: str) -> tuple[str, str] | None:
    """Return gateway and bus of a subject, or None if it is no subject of a bus."""
    found = _SUBJECT.fullmatch(text)
    return (found[1], found[2]) if found else None


def gateway_of(text: str) -> str | None:
    """Return the gateway to which a subject of the hub belongs: a bus's, or a request about its stream."""
    if bus := parsed_subject(text):
        return bus[0]
    return gateway_of_stream(text.rpartition(".")[2])


def default_gateway(hostname: str, code: str) -> str:
    """Return the name of a gateway that has none: `<host>-<8 hex>`.

    `hostname` is any text; `code` are eight hexadecimal digits that no other machine has (`supervisor.machine_lookup`).
    """
    host = re.sub(r"[^A-Za-z0-9_-]+", "-", hostname.partition(".")[0]).strip("-")[:_LONGEST_HOST]
    return f"{host or 'localhost'}-{code}"
