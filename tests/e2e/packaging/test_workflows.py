"""GitHub's workflows and the script of releases: actions pinned by hash, tools by the hashes of their files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TOOLS = ("requirements.txt", "audit.txt")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_the_hash_of_a_commit(workflow: Path) -> None:
    actions = re.findall(r"uses: (.*)", workflow.read_text())
    assert actions
    for action in actions:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_one_action_has_one_hash() -> None:
    found = {action for path in WORKFLOWS for action in re.findall(r"uses: (.*)", path.read_text())}
    assert len(found) == len({action.partition("@")[0] for action in found})


def test_only_the_job_that_publishes_gets_an_identity() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    build, _, publish = text.partition("\n  publish:\n")
    assert "id-token: write" in publish
    assert "id-token" not in build
    assert re.search(r"^permissions:\n  contents: read\n", build, re.MULTILINE)
    assert "password" not in publish


@pytest.mark.parametrize("name", TOOLS)
def test_tools_of_a_release_are_pinned_with_hashes(name: str) -> None:
    text = (ROOT / "packaging/release" / name).read_text()
    entries = re.split(r"^(?=[\w-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 10
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_wheel_is_built_by_the_same_version_here_and_in_a_release() -> None:
    def version(path: str) -> str:
        match = re.search(r"^hatchling==(\S+)", (ROOT / path).read_text(), re.MULTILINE)
        assert match
        return match[1]

    assert version("tests/requirements.txt") == version("packaging/release/requirements.txt")
