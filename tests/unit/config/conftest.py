"""Problems of a text that is loaded as a file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cancorderd.config.loading import ConfigurationError, load

ProblemsOf = Callable[..., list[str]]


@pytest.fixture
def problems_of(tmp_path: Path) -> ProblemsOf:
    """`problems_of(text, **drop_ins)`: every problem of the text, without the folder; file names get .toml."""

    def problems(text: str | bytes, **drop_ins: str) -> list[str]:
        main = tmp_path / "main.toml"
        main.write_bytes(text.encode() if isinstance(text, str) else text)
        for name, other in drop_ins.items():
            (tmp_path / f"{name}.toml").write_text(other)
        try:
            load(main)
        except ConfigurationError as error:
            assert str(error).splitlines() == [str(problem) for problem in error.problems]
            return [str(problem).replace(f"{tmp_path}/", "") for problem in error.problems]
        return []

    return problems
