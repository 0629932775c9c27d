"""`cancorderctl hub add` and `hub rm`: users of a hub in a box, on the hub itself."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import hub_access, subcommand
from cancorderd.cli.ctl.hub_streams import add_limits, limits_of, not_a_name
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.hub.access import HubAccess
    from cancorderd.hub.box import Box
    from cancorderd.hub.connection import HubConnection
    from cancorderd.hub.streams import Outcome

_IN_FORCE_S = 10.0
"""Longest time in which a server reads its users anew."""
_LOOK_AGAIN_S = 0.2


def add_parsers(commands: Commands) -> None:
    add = subcommand.add_command(
        commands,
        "add",
        "make user, password file, rights and stream of a gateway, on a hub that contrib/hub/set-up made",
        functools.partial(_run, _add),
        ("cancorderctl hub add truck-17", "prints the [forward] for the gateway"),
        ("cancorderctl hub add --viewer lab", "a user who may only read"),
    )
    add.add_argument("--viewer", action="store_true", help="make a user who reads all gateways instead")
    add_limits(add)
    remove = subcommand.add_command(
        commands,
        "rm",
        "remove the user of a gateway or a viewer; the stream stays",
        functools.partial(_run, _remove),
        ("cancorderctl hub rm truck-17", "it is disconnected at once"),
    )
    for parser in (add, remove):
        subcommand.add_json(parser)
        parser.add_argument("name", metavar="GATEWAY", help="name of the gateway or viewer")
        parser.add_argument(
            "--folder",
            metavar="FOLDER",
            default=hub_access.FOLDER,
            help="folder of the hub (default: %(default)s)",
        )


def _run(action: Callable[[argparse.Namespace, Box], int], options: argparse.Namespace) -> int:
    from cancorderd.hub import subjects
    from cancorderd.hub.box import Box
    from cancorderd.hub.failures import HubError

    if not subjects.is_gateway_name(options.name):
        raise ControlError(not_a_name(options.name), Exit.USAGE)
    if getattr(options, "viewer", False) and limits_of(options)[1]:
        raise ControlError("A viewer has no stream to limit. Omit the limits, or --viewer.", Exit.USAGE)
    box = Box(Path(options.folder).absolute())
    try:
        with box.locked(_tell_of_wait):
            return action(options, box)
    except HubError as error:
        raise hub_access.failed(error) from error


def _tell_of_wait() -> None:
    print("Waiting for another cancorderctl hub to end.", file=sys.stderr)


def _add(options: argparse.Namespace, box: Box) -> int:
    import tomli_w

    access = box.access()
    box.require_free(options.name)
    if not options.viewer:
        # The stream first: if that fails, nothing else has been changed.
        outcome = hub_access.at_hub(access, functools.partial(_stream, options))
        print(f"{outcome.stream}: {outcome.action}: {outcome.details}", file=sys.stderr)
    password = _add_user(options, box, access)
    forward = {} if options.viewer else forward_table(access, options.name)
    if options.json:
        print(
            json.dumps(
                {"user": options.name, "password_file": str(password), "ca": access.ca, **forward}, indent=2
            )
        )
        return Exit.DONE
    print(_to_copy(access, options.name, password, viewer=options.viewer), file=sys.stderr)
    if forward:
        print(tomli_w.dumps(forward), end="")
    return Exit.DONE


def _add_user(options: argparse.Namespace, box: Box, access: HubAccess) -> Path:
    """Make a user that the server knows; returns its password file. A failure leaves no user behind."""
    from dataclasses import replace

    from cancorderd.hub import jetstream
    from cancorderd.hub.failures import HubError

    call: Callable[[HubConnection], Awaitable[object]]
    if options.viewer:
        password, call = box.add_viewer(options.name), jetstream.stream_names
    else:
        password, call = box.add_gateway(options.name), functools.partial(_own_stream, options.name)
    try:
        _reload_until_in_force(box, replace(access, user=options.name, password_file=str(password)), call)
    except BaseException:  # Ctrl+C, too: the command can be repeated
        with contextlib.suppress(HubError):
            box.remove(options.name)
            box.reload()
        raise
    return password


async def _stream(options: argparse.Namespace, connection: HubConnection) -> Outcome:
    from cancorderd.hub import streams

    streams.require_recent(connection)
    limits, asked = limits_of(options)
    return await streams.ensure_stream(connection, options.name, limits, asked)


async def _own_stream(gateway: str, connection: HubConnection) -> None:
    from cancorderd.hub import jetstream, subjects

    await jetstream.stream_info(connection, subjects.stream_name(gateway))


def _remove(options: argparse.Namespace, box: Box) -> int:
    from cancorderd.hub.failures import HubError, NotPermitted

    box.remove(options.name)
    try:
        box.reload()
    except NotPermitted:
        raise
    except HubError as error:
        raise ControlError(f"{options.name} is taken away, but {error}", Exit.FAILED) from error
    if options.json:
        print(json.dumps({"removed": options.name}))
        return Exit.DONE
    print(f"{options.name} may no longer log in. Its stored frames stay.", file=sys.stderr)
    return Exit.DONE


def _reload_until_in_force(
    box: Box, access: HubAccess, call: Callable[[HubConnection], Awaitable[object]]
) -> None:
    """Make the server read its users until `call` succeeds for a new one. Raises ControlError after some seconds.

    What a new account imports works from the second reading on (nats-server 2.15). Other users stay connected.
    """
    deadline_s = time.monotonic() + _IN_FORCE_S
    while True:
        box.reload()
        time.sleep(_LOOK_AGAIN_S)
        try:
            hub_access.at_hub(access, call)
        except ControlError:
            if time.monotonic() > deadline_s:
                raise
        else:
            return


def forward_table(access: HubAccess, gateway: str) -> dict[str, dict[str, object]]:
    """Return the [forward] of a gateway, with the files where `_to_copy` puts them."""
    table: dict[str, object] = {
        "url": list(access.url),
        "gateway": gateway,
        "user": gateway,
        "password_file": "/etc/cancorder/hub.password",
    }
    if access.ca is not None:
        table["ca"] = "/etc/cancorder/hub-ca.pem"
    return {"forward": table}


def _to_copy(access: HubAccess, name: str, password: Path, *, viewer: bool) -> str:
    lines = [f"Copy to the machine of {name}, readable by the group cancorder alone (mode 0640):"]
    # A machine may be both a gateway and a viewer.
    lines.append(f"  {password} as /etc/cancorder/{name if viewer else 'hub'}.password")
    if access.ca is not None:
        lines.append(f"  {access.ca} as /etc/cancorder/hub-ca.pem")
    return "\n".join(lines)
