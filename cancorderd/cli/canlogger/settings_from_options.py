"""Settings of a bus from the options of a one-bus command, with mistakes reported by option, as argparse does."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from cancorderd.cli.canlogger.common_options import BUS_NAME
from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.validation import validated
from cancorderd.protocol.service_names import SERVICE_PREFIX

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_Settings = TypeVar("_Settings", bound=BusSettings)


def common_keys(options: argparse.Namespace) -> dict[str, Any]:
    """Return the common options as keys of a bus."""
    name = options.service_name
    given = {"port": options.port, "service_name": name if name is None else with_prefix(name)}
    return {"name": BUS_NAME, "zeroconf": not options.no_zeroconf} | {
        key: value for key, value in given.items() if value is not None
    }


def with_prefix(service_name: str) -> str:
    """Return a name to announce with the beginning by which viewers know a logger."""
    if service_name.startswith(SERVICE_PREFIX):
        return service_name
    return f"{SERVICE_PREFIX} {service_name}".rstrip()


def settings_from_keys(
    parser: argparse.ArgumentParser, kind: type[_Settings], keys: Mapping[str, Any], **internal_keys: Any
) -> _Settings:
    """Return the settings with these keys, and with `internal_keys`, which no option sets.

    Ends the program with a usage error if a value is invalid.
    """
    settings, findings = validated(kind, keys)
    for finding in findings:
        option = option_name(parser, str(finding.keys[0]))
        parser.error(f"argument {option}: {finding.fact}. {as_options(parser, finding.remedy)}")
    if settings is None:
        raise ValueError(f"{kind.__name__} without findings and without settings")
    return replace(settings, **internal_keys)


def option_name(parser: argparse.ArgumentParser, key: str) -> str:
    """Return the option for a key of a bus, as argparse writes it in its own errors, or the key if it has none."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way
        if action.dest == key:
            return "/".join(action.option_strings)
    return key


def as_options(parser: argparse.ArgumentParser, remedy: str) -> str:
    """Return a remedy for a configuration file in the words of the command line."""

    def option(match: re.Match[str]) -> str:
        name = option_name(parser, match[1]).partition("/")[0]
        return f"{name} " if name.startswith("-") else match[0]

    return re.sub(r"\b([a-z_]+) = ", option, remedy).replace("leave the key out", "leave it out")
