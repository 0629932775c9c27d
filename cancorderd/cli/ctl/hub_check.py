"""`cancorderctl hub check`: try each server of [forward], step by step, without the daemon."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from cancorderd.cli.ctl import hub_access, service_user, subcommand
from cancorderd.cli.ctl.service_file import WHICH, service_file
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.config.configuration import Configuration
    from cancorderd.hub.access import HubAccess
    from cancorderd.hub.inspection import Step, Trial

_WITHIN_S = 4.5
"""With the start of the command, 5 seconds."""


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "check",
        "try to reach the hub of [forward]: name, TLS, login, JetStream, stream, rights; for at most 5 seconds",
        run,
        ("cancorderctl hub check", "with the service's file"),
        ("cancorderctl hub check new.toml", "with another file, before it replaces that"),
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help=f"configuration (default: {WHICH})")
    subcommand.add_json(parser)


def run(options: argparse.Namespace) -> int:
    from cancorderd.config.loading import ConfigurationError, load
    from cancorderd.hub.failures import NotPermitted

    path = service_file(options.file, options.socket)
    try:
        configuration = load(path)
    except ConfigurationError as error:
        raise ControlError("\n".join(map(str, error.problems)), Exit.FAILED) from error
    trials = _trials(path, configuration)
    good = all(trial.good for trial in trials)
    if options.json:
        print(json.dumps({"good": good, "servers": [as_json(trial) for trial in trials]}, indent=2))
    else:
        for trial in trials:
            print("\n".join(lines(trial)))
        if not good:
            others = "Forwarding goes on with any server that is good; the" if len(trials) > 1 else "The"
            print(f"{others} spool keeps frames until then.", file=sys.stderr)
    if good:
        return Exit.DONE
    # The files are the same for each server.
    return Exit.NO_PERMISSION if isinstance(trials[0].refusal, NotPermitted) else Exit.FAILED


def _trials(file: str, configuration: Configuration) -> list[Trial]:
    import asyncio

    from cancorderd.hub.failures import HubError

    forward = configuration.forward
    if forward is None:
        raise ControlError(
            f"{file} has no [forward], so nothing is forwarded. See the guide's page fleet.md.", Exit.FAILED
        )
    buses = [bus.name for bus in configuration.buses if bus.enabled and bus.forwardable]
    try:
        from cancorderd.hub.inspection import inspect

        trials = asyncio.run(
            inspect(forward.access, forward.gateway or _own_name(), buses, within_s=_WITHIN_S)
        )
    except HubError as error:
        raise hub_access.failed(error) from error
    for trial in trials:
        trial.steps[:0] = _files(forward.access)
    return trials


def _files(access: HubAccess) -> list[Step]:
    """Return a warning for each file that root reads here, and the service could not."""
    from cancorderd.hub.failures import Stage
    from cancorderd.hub.inspection import Step

    user = service_user.service_user()
    if os.geteuid() or user is None:
        return []
    paths = (access.credentials, access.password_file, access.ca, access.certificate, access.key)
    sentences = service_user.unreadable([path for path in paths if path is not None], user)
    return [Step(Stage.FILES, sentence, warning=True) for sentence in sentences]


def _own_name() -> str:
    """Return the name that the daemon gives a gateway without one."""
    from cancorderd.hub.subjects import default_gateway
    from cancorderd.supervisor.machine_lookup import MachineLookup

    return default_gateway(*MachineLookup()())


def lines(trial: Trial) -> list[str]:
    """Return the results for one server, one line each."""
    width = max(len(_stage(step)) for step in trial.steps)
    return [
        str(trial.server),
        *(f"  {_mark(step):7}  {_stage(step):{width}}  {step.sentence}" for step in trial.steps),
    ]


def as_json(trial: Trial) -> dict[str, Any]:
    steps = [
        {"stage": _stage(step), "good": step.good, "warning": step.warning, "sentence": step.sentence}
        for step in trial.steps
    ]
    return {"server": str(trial.server), "good": trial.good, "steps": steps}


def _stage(step: Step) -> str:
    return step.stage.name.lower()


def _mark(step: Step) -> str:
    if not step.good:
        return "FAILED"
    return "warning" if step.warning else "ok"
