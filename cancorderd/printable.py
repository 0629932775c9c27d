"""Text of foreign origin, made safe for terminals, logs, JSON and the service manager. Pure.

Drivers, adapters, neighbours on the network and files contain text that nobody here has written. It passes
through `printable` once, where it enters the program.
"""

from __future__ import annotations

LONGEST = 1000
"""Characters of foreign text that are kept: more than any sentence needs."""
LONGEST_ERROR = 300
"""Characters of a library's error message: a sentence with a remedy has to follow."""
_CUT = "..."


def printable(text: str, longest: int | None = LONGEST) -> str:
    """Return `text` as one line of at most `longest` characters; None sets no limit.

    White space becomes a blank; control characters, surrogates and invisible characters, which a terminal may
    obey or an encoding refuse, become "?". A text that was cut ends in "...". The result passes unchanged.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - len(_CUT)] + _CUT
    if text.isprintable():
        return text
    return "".join(map(_printable_character, text))


def error_text(error: BaseException, longest: int = LONGEST_ERROR) -> str:
    """Return the message of an exception of a library, without its full stop, or its type if it has none."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the library's own method fails
        text = ""
    return printable(text, longest).strip().rstrip(".") or type(error).__name__


def _printable_character(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "?"
