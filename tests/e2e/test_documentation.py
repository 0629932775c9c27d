"""The README, the guide and the pages for developers: links lead somewhere, examples are commands that exist."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import tomllib
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.harness import ROOT

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

GUIDE = ROOT / "contrib/guide"
PAGES = sorted(
    page
    for folder in (".", ".github", "cancorderd", "contrib", "packaging", "tests")
    for page in (ROOT.glob("*.md") if folder == "." else (ROOT / folder).rglob("*.md"))
)
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
PARSERS: dict[str, argparse.ArgumentParser] = {
    command: importlib.import_module(target.partition(":")[0]).parser() for command, target in SCRIPTS.items()
}
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Example(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


EXAMPLES = [
    Example(page, match[2], match[3]) for page in PAGES for match in _FENCED.finditer(page.read_text())
]
LINKS = [
    (page, target)
    for page in PAGES
    for target in _LINK.findall(re.sub(r"`[^`\n]*`", "`code`", _FENCED.sub("", page.read_text())))
]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get: lower case, without punctuation, hyphens for spaces."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> list[tuple[str, str]]:
    """Each line of a shell example that calls one of our commands: the page, and the call alone."""
    found = []
    for page, language, text in EXAMPLES:
        if language != "sh":
            continue
        for line in text.splitlines():
            for part in re.split(r"&&|;|\|", line.partition("  #")[0].partition(" >")[0]):
                match = re.search(rf"(?:^|[\s/])((?:{'|'.join(PARSERS)})(?:\s.*)?)$", part.strip())
                if match and not re.match(
                    r"(?:git|cp|sudo (?:apt|install|systemctl)|eval|curl)\b", part.strip()
                ):
                    found.append((name(page), match[1]))
    return found


@pytest.mark.parametrize(("page", "target"), LINKS, ids=[f"{name(page)}-{target}" for page, target in LINKS])
def test_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    if re.match(r"\w+:", target):
        return
    place = (page.parent / path).resolve() if path else page
    assert place.exists()
    if anchor:
        assert anchor in anchors(place)


def test_links_are_found() -> None:
    assert len(LINKS) > 60
    assert {name(page) for page, _ in LINKS} >= {"README.md", "contrib/guide/README.md"}


def test_links_of_the_guide_stay_within_what_the_packages_install() -> None:
    outside = [
        (name(page), target)
        for page, target in LINKS
        if page.is_relative_to(GUIDE) and not re.match(r"\w+:", target)
        and not (page.parent / target.partition("#")[0]).resolve().is_relative_to(ROOT / "contrib")
    ]  # fmt: skip
    assert not outside


@pytest.mark.parametrize("page", [page for page in PAGES if page.is_relative_to(GUIDE)], ids=name)
def test_page_of_the_guide_is_in_a_table_of_contents(page: Path) -> None:
    contents = [GUIDE / "README.md", GUIDE / "adapters/README.md"]
    linked = {
        (origin.parent / target.partition("#")[0]).resolve() for origin, target in LINKS if origin in contents
    }
    assert page in linked or page == contents[0]


@pytest.mark.parametrize(("page", "line"), commands())
def test_command_is_understood(page: str, line: str) -> None:
    del page  # for the test's id
    program, *words = shlex.split(line)
    PARSERS[program].parse_args(words)


def test_commands_are_found() -> None:
    assert {line.split()[0] for _, line in commands()} == set(PARSERS)
    assert len(commands()) > 12


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.language == "python"])
def test_python_example_compiles(example: Example) -> None:
    ast.parse(example.text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_scripts_named_in_examples_exist(page: Path) -> None:
    for example in EXAMPLES:
        if example.page == page and example.language == "sh":
            for path in re.findall(
                r"^(?:sudo )?((?:contrib|tests|packaging)/\S+)", example.text, re.MULTILINE
            ):
                assert (ROOT / path).exists(), path


def test_readme_is_short_and_begins_with_the_demo() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert any(line.startswith("contrib/demo") for line in lines[:15])


def test_messages_in_the_troubleshooting_page_are_those_of_the_code() -> None:
    # Strings that span lines of code are joined; examples such as can0 stand for any text.
    code = "".join(file.read_text() for file in sorted((ROOT / "cancorderd").rglob("*.py")))
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    rows = re.findall(r"^\| ([^|]+) \|", (GUIDE / "troubleshooting.md").read_text(), re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    messages = [message for message in messages if not re.match(r"running$|systemctl ", message)]
    assert len(messages) > 15
    for message in messages:
        text = re.sub(r"^(waiting|backoff|failed): ", "", message)
        parts = re.split(r"the worker|can0|pcan|42420|/dev/ttyACM0|cancorderd|\.\.\.|…", text)
        assert max(parts, key=len).strip() in code, message
