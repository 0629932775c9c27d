"""The option --service-name of the one-bus commands: the required beginning is added where it is missing."""

from __future__ import annotations

import pytest

from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.cli.canlogger import canlogger, mock_uds_canlogger, rusoku_canlogger
from cancorderd.cli.canlogger.settings_from_options import common_keys, settings_from_keys


@pytest.mark.parametrize("command", [canlogger, mock_uds_canlogger, rusoku_canlogger])
@pytest.mark.parametrize(
    ("given", "announced"),
    [
        ("my car", "ECUconnect-Logger my car"),
        ("ECUconnect-Logger my car", "ECUconnect-Logger my car"),
        ("ECUconnect-Logger", "ECUconnect-Logger"),
        ("ecuconnect-logger x", "ECUconnect-Logger ecuconnect-logger x"),
        ("", "ECUconnect-Logger"),
    ],
)
def test_a_name_gets_the_prefix_if_it_is_missing(command: object, given: str, announced: str) -> None:
    parser = command.parser()  # type: ignore[attr-defined]
    keys = common_keys(parser.parse_args(["--service-name", given])) | {"interface": "mock"}
    assert settings_from_keys(parser, MockSettings, keys).service_name == announced


def test_without_the_option_the_name_is_the_usual_one() -> None:
    parser = canlogger.parser()
    keys = common_keys(parser.parse_args([])) | {"interface": "mock"}
    assert settings_from_keys(parser, MockSettings, keys).service_name is None


def test_a_name_that_is_too_long_is_still_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    parser = canlogger.parser()
    keys = common_keys(parser.parse_args(["--service-name", "x" * 50])) | {"interface": "mock"}
    with pytest.raises(SystemExit) as ended:
        settings_from_keys(parser, MockSettings, keys)
    assert ended.value.code == 2
    assert "argument --service-name: the name has 68 bytes" in capsys.readouterr().err
