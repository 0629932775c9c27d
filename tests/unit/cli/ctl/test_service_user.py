"""Files that the service's user may read, by owner, group and mode."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cancorderd.cli.ctl.service_user import User, unreadable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("mode", "own", "in_group", "readable"),
    [
        (0o640, False, True, True),
        (0o640, False, False, False),
        (0o600, True, False, True),
        (0o600, False, True, False),
        (0o040, True, True, False),
        (0o604, False, False, True),
    ],
)
def test_mode_counts_for_the_class_of_the_user(
    tmp_path: Path, mode: int, own: bool, in_group: bool, readable: bool
) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    file = tmp_path / "hub.password"
    file.touch()
    file.chmod(mode)
    found = os.stat(file)
    user = User(
        found.st_uid if own else found.st_uid + 1, frozenset({found.st_gid if in_group else found.st_gid + 1})
    )
    sentences = list(unreadable([str(file), str(tmp_path / "absent")], user))
    assert (sentences == []) == readable
    if not readable:
        assert f"Run chgrp cancorder {file}" in sentences[0]


def test_folder_that_cannot_be_entered_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    file = closed / "hub.password"
    file.touch(mode=0o644)
    found = os.stat(file)
    (sentence,) = unreadable([str(file)], User(found.st_uid + 1, frozenset({found.st_gid + 1})))
    assert "may not enter its folder" in sentence
