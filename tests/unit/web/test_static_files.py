"""The files of the page: uPlot is the published one, nothing comes from elsewhere, and no text becomes HTML."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[3] / "cancorderd/web/static"
OWN = sorted(path for path in STATIC.iterdir() if path.suffix in (".html", ".js", ".css", ".svg"))
UPLOT = {  # uPlot 1.6.32, as published
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
LONGEST = 350


def test_uplot_is_unchanged_and_has_its_licence() -> None:
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (STATIC / "vendor").iterdir()
    }
    assert found == UPLOT
    assert "Permission is hereby granted" in (STATIC / "vendor/uPlot.LICENSE").read_text()


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere_and_no_text_is_parsed(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "").replace('=== "https:"', "")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc|createContextualFragment",
        text,
    )
    assert len(text.splitlines()) < LONGEST


def test_the_policy_that_forbids_inline_code_costs_the_page_nothing() -> None:
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"\son[a-z]+=|\sstyle=|<style|javascript:", page)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))


def test_every_file_that_the_page_names_exists() -> None:
    page = (STATIC / "index.html").read_text()
    names = re.findall(r'(?:src|href)="/([\w./]+\.\w+)"', page)
    for script in STATIC.glob("*.js"):
        names += re.findall(r'from "\./([\w.]+)"', script.read_text())
    assert "main.js" in names
    assert not [name for name in names if not (STATIC / name).is_file()]
