from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from cancorderd.installation import elsewhere

if TYPE_CHECKING:
    from pathlib import Path


def record(url: str, **more: object) -> str:
    return json.dumps({"url": url, **more})


@pytest.mark.parametrize(
    ("direct_url", "extras", "expected"),
    [
        (None, [], "cancorderd==1.2"),
        (None, ["mf4", "nats"], "cancorderd[mf4,nats]==1.2"),
        (record("file:///gone/cancorderd-1.2.whl"), [], "cancorderd==1.2"),
        (
            record("https://example.org/c.whl", archive_info={}),
            ["nats"],
            "cancorderd[nats] @ https://example.org/c.whl",
        ),
        (
            record("https://example.org/c.git", vcs_info={"vcs": "git", "commit_id": "abc"}),
            [],
            "cancorderd @ git+https://example.org/c.git@abc",
        ),
    ],
)
def test_the_same_version_is_installed_from_the_same_origin(
    direct_url: str | None, extras: list[str], expected: str
) -> None:
    assert elsewhere.origin(direct_url, "1.2", extras) == expected


def test_a_wheel_or_checkout_on_this_machine_is_used_again(tmp_path: Path) -> None:
    wheel = tmp_path / "can gateway.whl"
    wheel.touch()
    assert elsewhere.origin(record(wheel.as_uri()), "1.2", ["nats"]) == f"{wheel}[nats]"
    assert elsewhere.origin(record(tmp_path.as_uri(), dir_info={"editable": True}), "1.2", []) == str(
        tmp_path
    )


def test_extras_of_which_something_is_missing_are_left_out() -> None:
    requirements = [
        "rich>=13",
        'pytest>=8; extra == "nats"',
        "no-such-package-at-all; extra == 'mf4'",
        'pytest>=8; extra == "mf4"',
        "pytest; extra == 'test'",
    ]
    assert elsewhere.installed_extras(requirements) == ["nats"]


def test_a_python_in_a_home_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usable = tmp_path / "python3"
    usable.symlink_to(sys.executable)
    monkeypatch.setattr(elsewhere, "hidden", lambda path: None if path == str(usable) else "a home")
    monkeypatch.setattr(elsewhere, "_FOLDERS", (str(tmp_path / "none"), str(tmp_path)))
    assert elsewhere.python_for_service() == str(usable)


def test_without_a_python_there_are_no_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "hidden", lambda _path: "a home")
    assert elsewhere.commands(as_root=False) == []


def test_root_needs_no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "python_for_service", lambda: sys.executable)
    monkeypatch.setattr(elsewhere, "requirement", lambda: "cancorderd @ https://example.org/a b.whl")
    *_, install, last = elsewhere.commands(as_root=True)
    assert shlex.split(install)[-1] == "cancorderd @ https://example.org/a b.whl"
    assert last == "/opt/cancorderd/bin/cancorderctl service install"
    assert all(line.startswith("sudo ") for line in elsewhere.commands(as_root=False))
