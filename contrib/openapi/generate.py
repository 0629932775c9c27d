#!/usr/bin/env python3
"""Write control-api.json, the OpenAPI 3.1 description of the control API, and openapi.json, which the page serves.

The answers are the TypedDicts of `cancorderd.control.protocol`, described by their docstrings. Run this
script after a change of that module; a unit test compares the result with the file.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import types
import typing
from pathlib import Path
from typing import Annotated, Any

import typing_extensions
from pydantic import Field, TypeAdapter
from pydantic.json_schema import JsonSchemaMode  # noqa: TC002

import cancorderd
from cancorderd.control import protocol
from cancorderd.ipc.messages import MOST_READERS

FILE = Path(__file__).with_name("control-api.json")
WEB_FILE = Path(__file__).parents[2] / "cancorderd/web/static/openapi.json"
ANSWERS = [
    "IndexAnswer",
    "StatusAnswer",
    "LoggedEvent",
    "ReloadDone",
    "ReloadRefused",
    "VerbAnswer",
    "ErrorAnswer",
]


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    rebuilt = {name: rebuilt_answer(getattr(protocol, name)) for name in ANSWERS}
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (name, "serialization", TypeAdapter(rebuilt[name])) for name in ANSWERS
    ]
    _, schemas = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cancorderd control API",
            "version": cancorderd.__version__,
            "description": f"HTTP on the Unix socket {protocol.DEFAULT_SOCKET}. Members of the group "
            f"{protocol.GROUP} may read; root and the daemon's own user may also make changes.",
        },
        "servers": [{"url": "http://cancorder", "description": "any host name will do"}],
        "paths": _paths(),
        "components": {"schemas": _without_titles(schemas["$defs"])},
    }


def web_document() -> dict[str, Any]:
    """Return the OpenAPI document of the page's process."""
    found = document()
    found["info"]["title"] = "cancorderd in the browser"
    found["info"]["description"] = (
        "HTTP of the page. Requests that change something need control = true in [web], the password and the page's own "
        "Origin header."
    )
    found["servers"] = [{"url": "/"}]
    left_out = (protocol.INDEX, protocol.frames_path("{name}"))
    found["paths"] = {
        path: answers for path, answers in found["paths"].items() if path not in left_out
    } | _WEB_PATHS
    found["components"]["schemas"].pop("IndexAnswer", None)
    found["components"]["schemas"]["Health"] = _HEALTH
    found["components"]["securitySchemes"] = {
        "password": {"type": "http", "scheme": "basic"},
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "For reading /metrics, /healthz and /v1.",
        },
    }
    found["security"] = [{"password": []}, {"token": []}, {}]
    return found


def _paths() -> dict[str, Any]:
    return {
        protocol.INDEX: {
            "get": {
                "operationId": "index",
                "summary": "List the requests that are answered",
                "responses": {"200": _response("The requests", "IndexAnswer")},
            }
        },
        protocol.STATUS: {
            "get": {
                "operationId": "status",
                "summary": "Return the state of the daemon and of every bus",
                "responses": {"200": _response("The state", "StatusAnswer"), "503": _UNAVAILABLE},
            }
        },
        protocol.EVENTS: {
            "get": {
                "operationId": "events",
                "summary": "Stream log messages about buses",
                "parameters": [
                    _query("follow", "0 ends the answer after the remembered events.", ["0", "1"], "1")
                ],
                "responses": {
                    "200": _response(
                        "Server-sent events; the data of each is a LoggedEvent",
                        "LoggedEvent",
                        "text/event-stream",
                    ),
                    "503": _UNAVAILABLE,
                },
            }
        },
        protocol.frames_path("{name}"): {
            "get": {
                "operationId": "frames",
                "summary": "Stream the frames of a bus, with its remote and error frames",
                "description": "The answer is the stream of the bus's TCP port, from now on: packets back to back, each a "
                "time stamp (8 bytes, microseconds since the Unix epoch), an arbitration id (4 bytes), flags, a length (a byte "
                "each, all big-endian) and the payload. Two kinds of packets are found here only. Flag 0x40 marks a remote "
                "frame: the length is its DLC, and no payload follows. Flag 0x80 marks an error frame: the id is the "
                "class of the error, the payload the 8 bytes that explain it (linux/can/error.h). A reader that is too "
                "slow misses the oldest frames (`readers` in the status); it delays nobody. The stream goes on when the bus "
                f"is interrupted, and ends when the bus is stopped. A bus serves {MOST_READERS} readers at a time.",
                "parameters": [_BUS_NAME],
                "responses": {
                    "200": {
                        "description": "Packets, until the connection ends",
                        "content": {protocol.FRAMES_TYPE: {}},
                    },
                    "404": _response("No such bus", "ErrorAnswer"),
                    "409": _response("The bus does not run, or has too many readers", "ErrorAnswer"),
                    "503": _UNAVAILABLE,
                },
            }
        },
        protocol.RELOAD: {
            "post": {
                "operationId": "reload",
                "summary": "Reload the configuration file; returns when the changes are in force",
                "parameters": [
                    _query("dry_run", "1 returns the changes without making them.", ["0", "1"], "0")
                ],
                "responses": {
                    "200": _response("The changes", "ReloadDone"),
                    "403": _response("No permission", "ErrorAnswer"),
                    "422": _response("The file has mistakes; nothing has changed", "ReloadRefused"),
                    "503": _UNAVAILABLE,
                },
            }
        },
        protocol.bus_path("{name}", typing.cast("protocol.Verb", "{verb}")): {
            "post": {
                "operationId": "control",
                "summary": "Start, stop or restart a bus; returns when the bus has settled",
                "parameters": [
                    _BUS_NAME,
                    {
                        "name": "verb",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "enum": list(protocol.VERBS)},
                    },
                ],
                "responses": {
                    "200": _response("The bus", "VerbAnswer"),
                    "403": _response("No permission", "ErrorAnswer"),
                    "404": _response("No such bus or verb", "ErrorAnswer"),
                    "503": _UNAVAILABLE,
                },
            }
        },
    }


def _query(name: str, description: str, values: list[str], default: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "string", "enum": values, "default": default},
    }


def _response(description: str, answer: str, media_type: str = "application/json") -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{answer}"}
    return {"description": description, "content": {media_type: {"schema": schema}}}


_BUS_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_UNAVAILABLE = _response("Too many connections, or the daemon is ending", "ErrorAnswer")


def rebuilt_answer(answer: Any) -> Any:
    """Return a TypedDict as typing_extensions has it: pydantic refuses typing's before Python 3.12."""
    descriptions = _attribute_docstrings(answer)
    fields = {}
    for name, hint in typing.get_type_hints(answer).items():
        kind = _with_rebuilt_parts(hint)
        described = Annotated[kind, Field(description=descriptions[name])] if name in descriptions else kind
        optional = name in answer.__optional_keys__
        fields[name] = typing_extensions.NotRequired[described] if optional else described
    # The functional form, since the names are data.
    rebuilt = typing_extensions.TypedDict(answer.__name__, fields)  # type: ignore[misc]
    rebuilt.__doc__ = inspect.getdoc(answer)
    return rebuilt


def _with_rebuilt_parts(hint: Any) -> Any:
    if typing.is_typeddict(hint):
        return rebuilt_answer(hint)
    parts = tuple(_with_rebuilt_parts(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is list:
        return list[parts[0]]  # type: ignore[valid-type]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.Union[parts]  # noqa: UP007 - the members are data
    return hint


def _without_titles(schema: Any) -> Any:
    """Leave out the titles that pydantic makes from the names of fields."""
    if isinstance(schema, dict):
        return {
            key: _without_titles(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_without_titles(item) for item in schema] if isinstance(schema, list) else schema


def _attribute_docstrings(answer: Any) -> dict[str, str]:
    """Return the string below each field, by the field's name."""
    (definition,) = ast.parse(inspect.getsource(answer)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - for the type checker
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = re.sub(r"\s+", " ", text)
    return found


_HEALTH = {
    "type": "object",
    "description": "Whether every enabled bus runs, and is recorded if it should be.",
    "properties": {
        "ok": {"type": "boolean"},
        "problems": {"type": "array", "items": {"type": "string"}, "description": "A sentence for each bus."},
    },
    "required": ["ok", "problems"],
}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_WEB_PATHS = {
    "/livez": {
        "get": {
            "operationId": "live",
            "summary": "Return whether the daemon answers; needs no password",
            "security": [{}],
            "responses": {
                "200": {"description": "It answers", "content": _TEXT},
                "503": {"description": "It does not", "content": _TEXT},
            },
        }
    },
    "/healthz": {
        "get": {
            "operationId": "health",
            "summary": "Return whether every enabled bus runs, and forwarding neither loses frames nor needs somebody",
            "responses": {
                "200": _response("All is well", "Health"),
                "503": _response("Something is not", "Health"),
            },
        }
    },
    "/metrics": {
        "get": {
            "operationId": "metrics",
            "summary": "Return the metrics for Prometheus",
            "responses": {"200": {"description": "Prometheus' text format", "content": _TEXT}},
        }
    },
}


def text() -> str:
    """Return the content of control-api.json."""
    return json.dumps(document(), indent=2) + "\n"


def web_text() -> str:
    """Return the content of openapi.json."""
    return json.dumps(web_document(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
    WEB_FILE.write_text(web_text())
