"""The configuration file, as the commands name it. Loading it is the business of `config.loading`."""

from __future__ import annotations

from cancorderd.printable import printable

DEFAULT_FILE = "/etc/cancorder.toml"
DROP_IN_FOLDER = "/etc/cancorder.d"


def no_mistakes(path: str, buses: int) -> str:
    """Return the message about a valid file with so many buses."""
    return f"{printable(path, None)}: {buses} bus{'' if buses == 1 else 'es'}: no mistakes."
