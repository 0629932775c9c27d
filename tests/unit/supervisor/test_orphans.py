"""Ended children: those without an owner are collected, all others are left to their owners."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cancorderd.supervisor.orphans import Orphans, _ended_children
from tests.support.harness import poll

pytestmark = pytest.mark.skipif(not hasattr(os, "waitid"), reason="only Linux has containers")


def ended_child() -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", ""])
    poll(lambda: child.pid in _ended_children())
    return child


def test_an_orphan_is_collected_at_the_second_look() -> None:
    child = ended_child()
    orphans = Orphans(set)
    orphans.collect_ended()
    assert child.pid in _ended_children()
    orphans.collect_ended()
    assert child.pid not in _ended_children()
    child.wait()


def test_a_child_with_an_owner_is_left_alone_also_if_orphans_stand_behind_it() -> None:
    owned, orphan = ended_child(), ended_child()
    orphans = Orphans(lambda: {owned.pid})
    for _ in range(3):
        orphans.collect_ended()
    assert _ended_children() & {owned.pid, orphan.pid} == {owned.pid}
    assert owned.wait() == 0
    orphan.wait()


def test_only_process_1_collects() -> None:
    child = ended_child()
    orphans = Orphans(set)
    for _ in range(3):
        orphans.collect()
    assert child.pid in _ended_children()
    child.wait()
