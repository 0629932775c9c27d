"""Configuration of a gateway's stream: what `cancorderctl hub init` makes, and how an existing one differs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from cancorderd.hub import subjects

if TYPE_CHECKING:
    from collections.abc import Mapping

GB = 1_000_000_000
DAY_S = 86_400
_NS = 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """Limits of a stream. The oldest messages go first."""

    max_bytes: int = 10 * GB
    max_age_s: int = 30 * DAY_S
    replicas: int = 1


class Difference(NamedTuple):
    """A setting of an existing stream that differs from the plan."""

    key: str
    found: Any
    wanted: Any
    reason: str
    prevents: bool = False
    """Whether a forwarder could not store its messages."""


def stream_config(gateway: str, limits: Limits) -> dict[str, Any]:
    """Return the configuration of a gateway's stream, in the words of JetStream's API."""
    return {
        "name": subjects.stream_name(gateway),
        "description": f"CAN buses of {gateway}",
        "subjects": [subjects.all_subjects(gateway)],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_bytes": limits.max_bytes,
        "max_age": limits.max_age_s * _NS,
        "num_replicas": limits.replicas,
        "allow_direct": True,
        # Viewers of another account of the hub are woken by these, for what an account imports it does not export.
        "republish": {
            "src": subjects.all_subjects(gateway),
            "dest": f"stored.{gateway}.{{{{wildcard(1)}}}}",
            "headers_only": True,
        },
    }


_REASONS = {
    "subjects": "the buses' subjects are not stored here",
    "retention": "messages would go when they are read",
    "storage": "RAM loses everything when the hub stops",
    "discard": "a full stream would refuse new frames",
    "allow_direct": "viewers cannot read without it",
    "republish": "viewers of the hub in a box are not woken without it",
    "max_bytes": "asked for",
    "max_age": "asked for",
    "num_replicas": "asked for",
}
_FREE: dict[str, tuple[Any, str]] = {
    "max_msg_size": (-1, "large messages would be refused"),
    "no_ack": (False, "the hub would acknowledge nothing"),
    "sealed": (False, "it is closed for new frames"),
    "mirror": (None, "it is a copy of another stream"),
}
"""Settings that are left out of the plan, with the value that stands for that."""
_LARGEST_MESSAGE = 70_000
"""Bytes of a body and its headers."""
UNCHANGEABLE = frozenset({"retention", "storage", "sealed", "mirror"})
"""Settings that JetStream does not change, at least not to those of the plan."""
_FIXED = ("subjects", "retention", "storage", "discard", "allow_direct", "republish")


def differences(
    found: Mapping[str, Any], wanted: Mapping[str, Any], asked: frozenset[str] = frozenset()
) -> list[Difference]:
    """Return the settings of a stream that have to change; limits only if they were asked for."""
    different = _unwanted(found)
    for key in (*_FIXED, *sorted(asked)):
        present = found.get(key)
        if key == "republish" and isinstance(present, dict):
            present = {name: present.get(name) for name in wanted[key]}
        if present != wanted[key]:
            if key == "subjects" and _covered(present, wanted[key]):
                different.append(
                    Difference(key, present, wanted[key], "messages of others may be stored here, too")
                )
            else:
                different.append(Difference(key, present, wanted[key], _REASONS[key], key == "subjects"))
    return different


def _unwanted(found: Mapping[str, Any]) -> list[Difference]:
    different = []
    for key, (unset, reason) in _FREE.items():
        present = found.get(key) or unset
        limited = present < _LARGEST_MESSAGE if key == "max_msg_size" else True
        if present != unset and limited:
            different.append(Difference(key, present, unset, reason, prevents=True))
    return different


def _covered(found: Any, wanted: list[str]) -> bool:
    """Whether a stream with the subjects `found` also stores the `wanted` ones, of which each ends in a wildcard."""
    present = found or []
    return all(each in present or f"{each.removesuffix('*')}>" in present for each in wanted)


def limits_text(config: Mapping[str, Any]) -> str:
    """Return the limits of a stream for people."""
    size, age_s = int(config.get("max_bytes", -1)), int(config.get("max_age", 0)) / _NS
    messages, by_subject = int(config.get("max_msgs", -1)), int(config.get("max_msgs_per_subject", -1))
    words = []
    if size > 0:
        words.append(size_text(size))
    if age_s > 0:
        words.append(_age_text(age_s))
    if messages > 0:
        words.append(f"{messages} messages")
    if by_subject > 0:
        words.append(f"{by_subject} messages of each bus")
    kept = f"keeps {' or '.join(words)}" if words else "keeps everything until the disk is full"
    replicas = int(config.get("num_replicas", 1))
    return f"{kept}, {replicas} {'replica' if replicas == 1 else 'replicas'}"


def size_text(size: int) -> str:
    """Return a number of bytes for people."""
    for unit, name in ((GB, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if size >= unit / 10:
            return f"{size / unit:g} {name}"
    return f"{size} bytes"


def _age_text(age_s: float) -> str:
    for unit_s, name in ((DAY_S, "days"), (3600, "hours"), (60, "minutes")):
        if age_s >= unit_s / 2:
            return f"{age_s / unit_s:g} {name}"
    return f"{age_s:g} s"
