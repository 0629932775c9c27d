"""The result of loading as JSON: a configuration, or every mistake. Pure; without pydantic."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple
from typing import Any

from cancorderd.config import settings_json
from cancorderd.config.configuration import Configuration, DaemonSettings
from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.config.problem import ConfigurationError, Problem
from cancorderd.config.web_settings import WebSettings


def to_json(result: Configuration | ConfigurationError) -> str:
    """Return a configuration or its mistakes as one line of JSON for `from_json`."""
    values: dict[str, Any]
    if isinstance(result, ConfigurationError):
        values = {"problems": [astuple(problem) for problem in result.problems]}
    else:
        values = {
            "daemon": asdict(result.daemon),
            "buses": [settings_json.to_json(bus) for bus in result.buses],
            "files": sorted(result.files),
            "web": asdict(result.web) if result.web else None,
            "forward": asdict(result.forward) if result.forward else None,
        }
    return json.dumps(values, allow_nan=False, separators=(",", ":"))


def from_json(text: bytes) -> Configuration:
    """Return the configuration that `to_json` wrote. Raises ConfigurationError if it wrote mistakes."""
    values = json.loads(text)
    if "problems" in values:
        raise ConfigurationError([Problem(*problem) for problem in values["problems"]])
    web, forward = values["web"], values["forward"]
    return Configuration(
        daemon=settings_json.rebuilt(DaemonSettings, values["daemon"]),
        buses=tuple(map(settings_json.from_json, values["buses"])),
        forward=settings_json.rebuilt(ForwardSettings, forward) if forward else None,
        files=frozenset(values["files"]),
        web=settings_json.rebuilt(WebSettings, web) if web else None,
    )
