"""Names of sources in candump's logs: names of interfaces, as canplayer and other readers take them. Pure.

Linux takes 15 bytes without blanks, slashes and colons (linux/if.h: IFNAMSIZ; net/core/dev.c: dev_valid_name), and
canplayer refuses a log with longer names. Parentheses, "=" and their like have meanings in logs and command lines.
"""

from __future__ import annotations

import re
from itertools import chain, count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 15
_REPLACED = re.compile(r"[^A-Za-z0-9_.@+-]")
_HOST_AND_PORT = re.compile(r"(.*):([0-9]{1,5})", re.DOTALL)


def interface_name(name: str) -> str:
    """Return a bus's name, HOST:PORT or any other text as the name of an interface.

    Names of interfaces stay as they are; of HOST:PORT, the port is kept.
    """
    if match := _HOST_AND_PORT.fullmatch(name):
        host, port = _replaced(match[1].strip("[]")), match[2]
        return f"{host[: LONGEST - len(port) - 1]}_{port}"
    text = _replaced(name)[:LONGEST]
    if text.strip(".") == "":
        return text.replace(".", "_") or "can"
    # python-can writes and reads a number as that of a canX.
    return f"can{text}"[:LONGEST] if text.isdecimal() else text


def interface_names(texts: Mapping[str, str]) -> dict[str, str]:
    """Return an `interface_name` of its own for the text of each key: later ones of equal names end in a number.

    Texts that are such names already keep them.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for key, text in sorted(texts.items(), key=lambda item: interface_name(item[1]) != item[1]):
        name = interface_name(text)
        numbered = (f"{name[: LONGEST - len(ending)]}{ending}" for ending in map("-{}".format, count(2)))
        found[key] = next(free for free in chain([name], numbered) if free not in taken)
        taken.add(found[key])
    return found


def _replaced(text: str) -> str:
    return _REPLACED.sub("_", text)
