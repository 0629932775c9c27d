"""`cancorderctl hub`: gateways and streams at a hub, a NATS server with JetStream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.cli.ctl import hub_check, hub_ls, hub_streams, hub_users
from cancorderd.cli.help_text import HelpFormatter

if TYPE_CHECKING:
    from cancorderd.cli.ctl.subcommand import Commands

_EPILOG = """\
examples:
  cancorderctl hub check                           can this gateway forward?
  cancorderctl hub ls tls://hub.example.net        gateways and buses at a hub
  cancorderctl hub add truck-17                    on the hub: a user and a stream for a gateway
"""


def add_parser(commands: Commands) -> None:
    summary = "check a hub, make its streams and users, list its gateways; without the daemon"
    parser = commands.add_parser(
        "hub",
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    hub_check.add_parser(actions)
    hub_streams.add_parser(actions)
    hub_ls.add_parser(actions)
    hub_users.add_parsers(actions)
