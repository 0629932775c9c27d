"""Texts and files that would cost much time or memory, or end the loading with something else than problems."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
import threading
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.config import loading
from cancorderd.config.loading import ConfigurationError, load, loaded
from cancorderd.config.settings_json import from_json, to_json
from cancorderd.config.toml_positions import MAX_DEPTH, MAX_KEYS, positions, readable

if TYPE_CHECKING:
    from collections.abc import Callable

    ProblemsOf = Callable[..., list[str]]

MOCK = '[bus.a]\ninterface = "mock"\n'
PCAN = '[bus.a]\ninterface = "pcan"\n'
LATER = "\n[bus.b]\ninterface = 'mock'\nbitrate = -5\n"
SECONDS = 10.0
"""What is not linear takes minutes with these texts; a busy machine needs some of this time."""


def numbered(before: str, after: str, count: int = 40_000) -> str:
    return "".join(f"{before}{at}{after}" for at in range(count))


def buses(count: int, keys: str) -> str:
    return "".join(f"[bus.b{at}]\n{keys}" for at in range(count))


def listen(count: int) -> str:
    return "listen = [" + ", ".join(f"'10.0.{at // 250}.{at % 250}'" for at in range(count)) + "]\n"


def lines(problems: list[str], words: str) -> list[int]:
    return [int(problem.split(":")[1]) for problem in problems if words in problem]


@pytest.mark.parametrize("levels", [MAX_DEPTH, 100, 101, 255, 600, 20_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a = ", "}")])
def test_deep_brackets_are_a_mistake_and_later_lines_are_right(
    levels: int, opening: str, closing: str, problems_of: ProblemsOf
) -> None:
    text = f"{PCAN}options = {{x = {opening * levels}1{closing * levels}}}{LATER}"
    problems = problems_of(text)
    assert lines(problems, "nested more than 32 levels deep") == [3]
    assert lines(problems, "-5 is not above 0") == [6]
    assert len(problems) == 2


@pytest.mark.parametrize("levels", [1, 8, MAX_DEPTH - 5])
def test_brackets_within_the_limit_reach_the_worker(levels: int, tmp_path: Path) -> None:
    file = tmp_path / "main.toml"
    file.write_text(f"{PCAN}options = {{x = {'[' * levels}1{']' * levels}}}\n")
    (bus,) = load(file).buses
    assert from_json(to_json(bus)) == bus


@pytest.mark.parametrize(
    "statement",
    [
        f"x.{'a.' * 330}y = 1",
        f"options.{'a.' * 330}y = 1",
        f"options = {{{'a.' * 330}y = 1}}",
        f"x.{'a . ' * 200_000}y = 1",
        "x." + '"a".' * 200_000 + "y = 1",
    ],
    ids=["unknown", "options", "inline", "spaces", "quotes"],
)
def test_long_dotted_key(statement: str, problems_of: ProblemsOf) -> None:
    begin_s = time.process_time()
    problems = problems_of(f"{PCAN}{statement}{LATER}")
    assert time.process_time() - begin_s < SECONDS
    assert lines(problems, "leads more than 32 levels deep") == [3]
    assert lines(problems, "-5 is not above 0") == [6]


@pytest.mark.parametrize("end", ["a]\nx = 1\n[[a.b]]", "a]", "a", "", "]"])
@pytest.mark.parametrize("parts", [20_000, 1_000_000])
def test_long_header(parts: int, end: str, problems_of: ProblemsOf) -> None:
    begin_s = time.process_time()
    problems = problems_of(f"[{'a.' * parts}{end}{LATER}")
    assert time.process_time() - begin_s < SECONDS
    assert problems[0] == "main.toml:1: a.a.a: the key leads more than 32 levels deep. Use fewer dots."


@pytest.mark.parametrize(
    "number", ["1" * 4301, "-" + "1_" * 4301 + "1", "0x" + "F" * 5000, "0." + "1" * 9999]
)
def test_number_with_thousands_of_digits(number: str, problems_of: ProblemsOf) -> None:
    for place in ("port = {}", "x = [0, {}]", "options = {{a = {}}}", "seed = {}"):
        problems = problems_of(f"{MOCK}{place.format(number)}{LATER}")
        assert lines(problems, "has more than 1000 characters") == [3]
        assert lines(problems, "-5 is not above 0") == [6]


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        ("9223372036854775808", "9223372036854775808 has more than 64 bits"),
        ("-9223372036854775809", "-9223372036854775809 has more than 64 bits"),
        ("1" * 400, "has more than 64 bits"),
        ("nan", "nan is not a finite number"),
        ("-inf", "-inf is not a finite number"),
        ("1e999", "inf is not a finite number"),
    ],
)
def test_option_that_the_worker_cannot_receive(value: str, fact: str, problems_of: ProblemsOf) -> None:
    inner = f"{PCAN}options = {{a = 1, b = [\n0,\n{{c = {value}}}]}}\n"
    (problem,) = problems_of(inner)
    assert problem.startswith("main.toml:5: bus.a.options.b[1].c: ")
    assert fact in problem
    (problem,) = problems_of(f"[defaults]\noptions = {{a = {value}}}\n{PCAN}")
    assert problem.startswith("main.toml:2: defaults.options.a: ")


def test_number_of_a_channel_or_seed_that_is_too_large(problems_of: ProblemsOf) -> None:
    assert lines(problems_of(f"{PCAN}channel = {1 << 64}\n"), "has more than 64 bits") == [3]
    assert lines(problems_of(f"{MOCK}seed = {1 << 64}\n"), "is above 9223372036854775807") == [3]


@pytest.mark.parametrize("text", [f'{MOCK}channel = "a\\u0000"', '[daemon]\n\nstate_dir = "/\\u0000"'])
def test_nul_in_a_text(text: str, problems_of: ProblemsOf) -> None:
    problems = problems_of(text)
    assert lines(problems, "the text holds a NUL character") == [3]


def test_nul_in_the_path_itself() -> None:
    with pytest.raises(ConfigurationError, match="no path holds a NUL character"):
        load("/etc/\0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (buses(1000, "interface = 'mock'\nport = 5000\n"), 999),
        (buses(1000, "interface = 'pcan'\nchannel = 0\n"), 999),
        ("".join(f"[bus.b{at}]\ninterface = 'pcn{at}'\n" for at in range(1000)), 1000),
        (f"{MOCK}{listen(1000)}", 1),
        (buses(1000, f"interface = 'mock'\nport = 5000\n{listen(32)}"), 999),
        (f"x = [{'0,' * (MAX_KEYS + 1)}]", 1),
        (f"x = {'[' * 40}{'[],' * MAX_KEYS}{']' * 40}", 1),
        ("a = 1\n" * 600_000, 1),
        (numbered("bitrat", " = 1\n"), 2001),
        (MOCK + numbered("bitrat", " = 1\n"), 100),
        (numbered("a." * 30 + "x", " = 1\n"), 1),
        ("include = [" + numbered("'", "*',") + "]", 1),
        (MOCK + "listen = ['" + "1" * 4_000_000 + "']", 1),
        ("[bus.a]\ninterface = '" + "a" * 4_000_000 + "'", 1),
        ("a" * 4_000_000 + " = 1", 1),
    ],
    ids=[
        *("ports", "channels", "interfaces", "addresses", "ports-and-addresses", "items", "deep-items"),
        *("repeated", "unknown-at-top", "unknown-in-bus", "long-prefix", "patterns", "long-address"),
        *("long-interface", "long-key"),
    ],
)
def test_a_text_costs_time_in_proportion_to_its_length(
    text: str, expected: int, problems_of: ProblemsOf
) -> None:
    begin_s = time.process_time()
    problems = problems_of(text)
    assert time.process_time() - begin_s < SECONDS
    assert len(problems) == expected
    assert all(len(problem) < 1500 for problem in problems)


def test_mistakes_show_no_control_characters(problems_of: ProblemsOf) -> None:
    for text in (r'"\u009b2J" = 1', r'[bus."\u202e"]', f'{MOCK}service_name = "\\u007f\\u009b"'):
        for problem in problems_of(text):
            assert problem.isprintable()


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_only_regular_files_are_read(kind: str, tmp_path: Path) -> None:
    odd = tmp_path / "d" / "odd.toml"
    odd.parent.mkdir()
    match kind:
        case "pipe":
            os.mkfifo(odd)
        case "socket":
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(str(odd))
        case _:
            odd.symlink_to("/dev/zero")
    main = tmp_path / "main.toml"
    main.write_text(f'include = ["d/*.toml"]\n{MOCK}')
    for path in (main, odd):
        with pytest.raises(ConfigurationError) as caught:
            load(path)
        assert str(caught.value) == f"{odd}: this is a {kind}. Name a file, or remove this from its folder."


def test_a_pipe_named_by_the_caller_may_be_read_if_he_says_so(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=[MOCK])
    writer.start()
    assert [bus.name for bus in load(path, pipe=True).buses] == ["a"]
    writer.join()
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_files_that_are_too_many_or_too_large_together(tmp_path: Path) -> None:
    main = tmp_path / "main.toml"
    main.write_text('\ninclude = ["d/*"]\n')
    (tmp_path / "d").mkdir()
    for at in range(3):
        (tmp_path / "d" / f"{at}").write_text("#" * (3 << 20))
    with pytest.raises(
        ConfigurationError, match=r"main.toml:2: include\[0\]: the files have more than 4 MiB"
    ):
        load(main)
    for at in range(1001):
        (tmp_path / "d" / f"{at}").write_text("")
    with pytest.raises(ConfigurationError, match="more than 1000 files match"):
        load(main)


def test_a_pattern_that_would_list_the_whole_disk(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of('include = ["/*/*/*/*/*.toml"]\n')
    assert problem.startswith("main.toml:1: include[0]: ")
    assert problem.endswith("has wildcards in more than 3 parts. Name the folders.")
    assert not problems_of('include = ["d*/e*/*.toml"]\n')


def test_an_error_of_our_own_is_a_problem_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(loading, "loaded", fails)
    with pytest.raises(ConfigurationError, match="the file cannot be checked: MemoryError") as caught:
        load(tmp_path / "main.toml")
    assert caught.value.problems[0].path == str(tmp_path / "main.toml")


BLANK = ["", "\n \t\r\n", "# all\n  # gone\n", "\ufeff"]


@pytest.mark.parametrize("blank", BLANK)
def test_an_emptied_file_is_refused_if_buses_in_force_came_from_it(blank: str, tmp_path: Path) -> None:
    main, drop_in, other = (tmp_path / name for name in ("main.toml", "d.toml", "other.toml"))
    main.write_text(f'include = ["{tmp_path}/[do]*.toml"]\n[bus.b]\ninterface = "mock"\n')
    drop_in.write_text(MOCK)
    other.write_text("# nothing yet\n")
    in_force = load(main)
    assert load(main, in_force=in_force) == in_force
    drop_in.write_text(blank)
    with pytest.raises(ConfigurationError) as caught:
        load(main, in_force=in_force)
    assert str(caught.value) == (
        f"{drop_in}: the file holds nothing but blanks and comments, and buses in force came from it. "
        "Restore it, or remove the file if its buses should go."
    )
    assert [bus.name for bus in load(main).buses] == ["b"], "a start has no buses in force"
    drop_in.unlink()
    in_force = load(main, in_force=in_force)
    main.write_text(blank)
    with pytest.raises(ConfigurationError) as caught:
        load(main, in_force=in_force)
    assert str(caught.value) == (
        f"{main}: the file holds nothing but blanks and comments. "
        "Restore it, or write [daemon] in it if there should be no bus."
    )
    main.write_text("[daemon]\n")
    assert load(main, in_force=in_force).buses == ()


def test_emptied_files_are_reported_beside_other_mistakes_and_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, drop_in = tmp_path / "main.toml", tmp_path / "d.toml"
    main.write_text('include = ["d.toml"]\n')
    drop_in.write_text(MOCK)
    monkeypatch.chdir(tmp_path)
    in_force = load("main.toml")
    main.write_text('include = ["d.toml"]\nodd = 1\n')
    drop_in.write_text("")
    with pytest.raises(ConfigurationError) as caught:
        load(main, in_force=in_force)
    assert len(caught.value.problems) == 2


def loads_or_has_problems(content: bytes) -> None:
    """Load without the last resort, so that any other exception fails the test."""
    with tempfile.NamedTemporaryFile("wb", suffix=".toml") as file:
        file.write(content)
        file.flush()
        try:
            configuration = loaded(file.name, in_force=None, pipe=False)
        except ConfigurationError as error:
            assert error.problems
            assert all(str(problem).isprintable() for problem in error.problems)
            return
    for bus in configuration.buses:
        assert from_json(to_json(bus)) == bus
        json.loads(to_json(bus), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


words = st.sampled_from(
    [
        *(
            "[",
            "]",
            "[[",
            "]]",
            "{",
            "}",
            "=",
            ".",
            ",",
            "\n",
            " ",
            "#",
            '"',
            "'",
            '"""',
            "'''",
            "\\",
            "\\u0000",
        ),
        *(
            "bus",
            "a",
            "interface",
            '"mock"',
            '"pcan"',
            "options",
            "listen",
            "filters",
            "id",
            "include",
            "x" * 70,
        ),
        *(
            "daemon",
            "defaults",
            "record",
            "state_dir",
            '"/x"',
            '"::"',
            "1",
            "0x7E0",
            "nan",
            "1e999",
            "1" * 4400,
        ),
        *(
            "1979-05-27",
            "07:32:00",
            "true",
            "[bus.a]\n",
            "[" * 40,
            "a." * 40,
            "\r\n",
            "\ufeff",
            "\x7f",
            "\U0001f600",
        ),
    ]
)


@given(st.lists(words, max_size=40).map("".join))
def test_any_text_is_loaded_or_has_problems(text: str) -> None:
    loads_or_has_problems(text.encode())


@given(st.sampled_from([b"", MOCK.encode(), PCAN.encode()]), st.binary(max_size=40))
def test_any_bytes_are_loaded_or_have_problems(head: bytes, content: bytes) -> None:
    loads_or_has_problems(head + content)


leaves: Any = (
    st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.dates()
    | st.datetimes()
    | st.times()
)
trees: Any = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab. é", max_size=3), inner, max_size=3)
    ),
)


@given(trees, st.sampled_from(["options", "channel", "record", "filters", "listen", "service_name", "odd"]))
def test_any_value_of_a_key_is_loaded_or_has_problems(value: Any, key: str) -> None:
    tables = {"bus": {"a": {"interface": "pcan", key: value}, "b": {"interface": "replay", "file": value}}}
    loads_or_has_problems(tomli_w.dumps(tables).encode())
    loads_or_has_problems(
        tomli_w.dumps({"defaults": {key: value}, "bus": {"a": {"interface": "pcan"}}}).encode()
    )


@given(st.lists(words, max_size=40).map("".join))
def test_the_scanner_understands_all_that_tomllib_reads(text: str) -> None:
    """Otherwise it would not see what is beyond the limits."""
    scanned = positions(text)
    rest = readable(text, scanned.beyond)
    assert rest.count("\n") == text.count("\n")
    try:
        tables = tomllib.loads(rest)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    assert set(tables) <= {path[0] for path in scanned.lines}
    assert all(len(path) <= 2 * MAX_DEPTH + 2 for path in scanned.lines)
