from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING

import pytest

from cancorderd.config import loader
from cancorderd.config.loader import load_within
from cancorderd.config.problem import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_configuration_and_its_mistakes_are_those_of_load(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[bus.a]\ninterface = "mock"\n')
    assert [bus.name for bus in load_within(str(file)).buses] == ["a"]
    file.write_text("[bus.a]\n")
    with pytest.raises(ConfigurationError, match="interface"):
        load_within(str(file))


def test_a_file_of_the_configuration_in_force_that_was_emptied_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("")
    assert load_within(str(file)).buses == ()
    with pytest.raises(ConfigurationError, match="nothing but blanks"):
        load_within(str(file), in_force=[])


def test_a_file_system_that_does_not_answer_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(loader, "load", lambda _path, **_: answers.wait())
    expected = r"^/c\.toml: reading it and the files that it includes takes longer than 0\.01 s\. Look for"
    with pytest.raises(ConfigurationError, match=expected):
        load_within("/c.toml", 0.01)
    answers.set()


def test_a_thread_that_is_not_allowed_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    with pytest.raises(ConfigurationError, match=r"no further thread is allowed\. Raise the limit"):
        load_within("/c.toml")
