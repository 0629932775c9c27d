"""A mistake in a configuration, as a check of settings raises it. Pure."""

from __future__ import annotations


class Mistake(ValueError):
    """A value, or several values together, that cannot be used."""

    def __init__(
        self,
        fact: str,
        remedy: str,
        key: str = "",
        compared: tuple[str, ...] = (),
        *,
        inside: tuple[str | int, ...] = (),
    ) -> None:
        """`key` is at fault if the check looks at several keys; the others are `compared` with it.

        `inside` leads from the value that was checked to the part of it that is at fault.
        """
        super().__init__(f"{fact}. {remedy}")
        self.fact = fact
        self.remedy = remedy
        self.key = key
        self.compared = compared
        self.inside = inside
