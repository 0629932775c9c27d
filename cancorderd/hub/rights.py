"""Accounts of users at a hub in a box, as text for nats-server's configuration. Pure.

Each gateway has an account of its own, and viewers share one. Rights to subjects alone do not suffice: a reply subject
is checked by nobody, so a user with any right to a request could have the hub write its answer into another gateway's
stream (tried with nats-server 2.15). An answer that belongs to a request of another account stays in that account.
"""

from __future__ import annotations

from cancorderd.hub import subjects
from cancorderd.hub.access import inbox_prefix

ACCOUNT = "HUB"
"""Account with JetStream: all streams, and the administrator (contrib/hub/nats-server.conf)."""
_API = "hub.API"
"""Local name of JetStream's API: under its own, the server answers first that the account has none."""


def gateway_account(gateway: str, password: str) -> str:
    """Return the account of a gateway: it publishes its own subjects, and reads its own stream's state and messages."""
    stream = subjects.stream_name(gateway)
    requests = (f"STREAM.INFO.{stream}", f"STREAM.MSG.GET.{stream}")
    imports = [f'{{ service: {{ account: {ACCOUNT}, subject: "{subjects.all_subjects(gateway)}" }} }}']
    imports += [_service(request) for request in requests]
    publish = [subjects.all_subjects(gateway), *(f"{_API}.{request}" for request in requests)]
    may = _permissions(gateway, publish, [])
    return _account(f"GATEWAY_{gateway}", _user(gateway, password, may), imports)


def viewer_account(viewer: str, password: str) -> str:
    """Return the account of a viewer: it reads every stream and its state, and changes nothing."""
    requests = ("STREAM.NAMES", "STREAM.INFO.*", "DIRECT.GET.*")
    imports = [_service(request) for request in requests]
    imports.append(f'{{ stream: {{ account: {ACCOUNT}, subject: "stored.*.*" }}, to: "can.$1.$2" }}')
    publish = [f"{_API}.{request}" for request in requests]
    may = _permissions(viewer, publish, ["can.*.*"])
    return _account(f"VIEWER_{viewer}", _user(viewer, password, may), imports)


def _service(request: str) -> str:
    return f'{{ service: {{ account: {ACCOUNT}, subject: "$JS.API.{request}" }}, to: "{_API}.{request}" }}'


def _permissions(user: str, publish: list[str], subscribe: list[str]) -> str:
    may_publish = ", ".join(f'"{subject}"' for subject in publish)
    may_subscribe = ", ".join(f'"{subject}"' for subject in (f"{inbox_prefix(user)}.>", *subscribe))
    return f"{{ publish: [ {may_publish} ], subscribe: [ {may_subscribe} ] }}"


def _user(user: str, password: str, permissions: str) -> str:
    return f'{{\n    user: "{user}", password: "{password}"\n    permissions: {permissions}\n  }}'


def _account(account: str, user: str, imports: list[str]) -> str:
    lines = "\n".join(f"    {line}" for line in imports)
    return f"""\
# Secret. Written by cancorderctl hub add; cancorderctl hub rm removes it.
"{account}" {{
  users: [ {user} ]
  mappings: {{ "$JS.API.>": "{_API}.>" }}
  imports: [
{lines}
  ]
}}
"""
