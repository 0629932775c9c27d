"""The museum's declarations and its page of the guide. `tests/firmware/run` shows the exhibits to their sources."""

from __future__ import annotations

import pytest

from tests.firmware import page
from tests.firmware.collection import MUSEUMS
from tests.firmware.exhibit import Exhibit, Outcome


def test_page_of_the_guide_shows_the_exhibits() -> None:
    assert page.PAGE.read_text() == page.text(MUSEUMS), "Run tests/firmware/run --write."


@pytest.mark.parametrize("name", MUSEUMS)
def test_each_exhibit_has_a_name_of_its_own_and_a_symptom(name: str) -> None:
    exhibits = MUSEUMS[name].EXHIBITS
    assert len({exhibit.name for exhibit in exhibits}) == len(exhibits)
    assert all(exhibit.symptom.endswith(".") and exhibit.came for exhibit in exhibits)


@pytest.mark.parametrize(
    ("said", "given", "gives"),
    [
        ("", "", True),
        ("", "a word", False),
        ("PORT: … is deaf.", "PORT: it is deaf.", True),
        ("PORT: … is deaf.", "PORT: it is deaf. And more.", False),
        ("…", "", True),
    ],
)
def test_declaration_stands_for_any_text_where_it_has_an_ellipsis(said: str, given: str, gives: bool) -> None:
    exhibit = Exhibit(name="a", symptom="b.", came="running", said=said)
    assert exhibit.gives(Outcome("running", given)) == gives
    assert not exhibit.gives(Outcome("failed", given))
