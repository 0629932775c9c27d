"""Files to a configuration: defaults, drop-ins, order, and broken files."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters import registry
from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.adapters.python_can_settings import PythonCanSettings
from cancorderd.adapters.replay_settings import ReplaySettings
from cancorderd.adapters.slcan.settings import SlcanSettings
from cancorderd.config.configuration import DaemonSettings
from cancorderd.config.demo import demo
from cancorderd.config.loading import ConfigurationError, Problem, load
from cancorderd.config.record_settings import RecordSettings
from cancorderd.config.schema import keys
from cancorderd.config.settings_json import from_json, to_json

ProblemsOf = Callable[..., list[str]]


def write(folder: Path, text: str, name: str = "main.toml") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_a_problem_names_place_fact_and_remedy() -> None:
    whole = ("-5 is not above 0", "Use a rate such as 500000 (bit/s).")
    problem = Problem("/etc/cancorder.toml", 14, "bus.body.bitrate", *whole)
    text = "bus.body.bitrate: -5 is not above 0. Use a rate such as 500000 (bit/s)."
    assert str(problem) == f"/etc/cancorder.toml:14: {text}"
    assert str(Problem("x", None, "bus.body.bitrate", *whole)) == f"x: {text}"
    assert str(Problem("x", None, None, "a", "B.")) == "x: a. B."


def test_an_empty_file_is_a_configuration_without_buses(tmp_path: Path) -> None:
    configuration = load(write(tmp_path, ""))
    assert configuration.buses == ()
    assert configuration.daemon == DaemonSettings()


def test_buses_keep_the_order_of_the_file_and_know_their_names(tmp_path: Path) -> None:
    text = '[bus.z]\ninterface = "mock"\n[bus.a]\ninterface = "mock"\n[bus.0-_x]\ninterface = "mock"\n'
    assert [bus.name for bus in load(write(tmp_path, text)).buses] == ["z", "a", "0-_x"]


def test_defaults_reach_the_buses_whose_interface_has_the_key(tmp_path: Path) -> None:
    text = """
[defaults]
interface = "slcan"
bitrate = 250_000
tty_baudrate = 9600
speed = 3
loop = false
[bus.a]
channel = "/dev/ttyACM0"
[bus.b]
channel = "/dev/ttyACM1"
bitrate = 125_000
[bus.c]
interface = "mock"
"""
    a, b, c = load(write(tmp_path, text)).buses
    assert isinstance(a, SlcanSettings) and isinstance(c, MockSettings)
    assert (a.bitrate, b.bitrate, c.bitrate) == (250_000, 125_000, 250_000)
    assert (a.tty_baudrate, c.speed, c.loop) == (9600, 3.0, False)


def test_a_default_data_bitrate_reaches_buses_with_can_fd_only(tmp_path: Path) -> None:
    text = """
[defaults]
data_bitrate = 2_000_000
[bus.a]
interface = "mock"
[bus.b]
interface = "mock"
fd = true
"""
    assert [bus.data_bitrate for bus in load(write(tmp_path, text)).buses] == [None, 2_000_000]


def test_drop_ins_follow_the_main_file_in_the_order_of_their_names(tmp_path: Path) -> None:
    main = 'include = ["d/*.toml", "single.toml", "none/*.toml", "*.toml"]\n[defaults]\nbitrate = 1\n'
    mock = '[bus.{}]\ninterface = "mock"\n'
    write(tmp_path, mock.format("two"), "d/b.toml")
    write(tmp_path, mock.format("one"), "d/a.toml")
    write(tmp_path, "broken", "d/.#a.toml")
    write(tmp_path, "broken", "d/a.toml~")
    write(tmp_path, mock.format("three"), "single.toml")
    buses = load(write(tmp_path, main + mock.format("zero"))).buses
    assert [bus.name for bus in buses] == ["zero", "one", "two", "three"]
    assert {bus.bitrate for bus in buses} == {1}


def test_drop_ins_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "[odd] *"
    write(tmp_path, "", "unused")
    folder.mkdir()
    write(folder, '[bus.a]\ninterface = "mock"\n', "a.toml")
    write(folder, f'include = ["a*.toml", "{folder}/a.toml"]\n')
    monkeypatch.chdir(folder)
    assert len(load("main.toml").buses) == 1
    monkeypatch.chdir("/")
    assert len(load(folder / "main.toml").buses) == 1


def test_a_log_file_is_found_from_the_folder_of_the_file_that_names_it(tmp_path: Path) -> None:
    text = 'include = ["d/*.toml"]\n[defaults]\nfile = "x.asc"\n[bus.a]\ninterface = "replay"\n'
    write(tmp_path, '[bus.b]\ninterface = "replay"\nfile = "y.asc"\n', "d/b.toml")
    files = [bus.file for bus in load(write(tmp_path, text)).buses if isinstance(bus, ReplaySettings)]
    assert files == [f"{tmp_path}/x.asc", f"{tmp_path}/d/y.asc"]


def test_other_interfaces_go_through_python_can(tmp_path: Path) -> None:
    text = '[bus.a]\ninterface = "pcan"\nchannel = 0\noptions = { auto_reset = true }\n'
    (bus,) = load(write(tmp_path, text)).buses
    assert isinstance(bus, PythonCanSettings)
    assert (bus.interface, bus.channel, bus.options) == ("pcan", 0, {"auto_reset": True})


def test_a_file_with_a_byte_order_mark_and_windows_line_ends(problems_of: ProblemsOf) -> None:
    text = b'\xef\xbb\xbf[bus.a]\r\ninterface = "mock"\r\nport = 0\r\n'
    assert problems_of(text) == [
        (
            "main.toml:3: bus.a.port: 0 is below 1. "
            "Use a port such as 42420, or leave the key out for an automatic one."
        ),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "a 5",
            "1: this is not TOML: expected '=' after a key in a key/value pair, column 3. Correct the line.",
        ),
        (
            "[bus.a]\nchannel = can0\n",
            '2: this is not TOML: invalid value, column 11. Put text in quotes: channel = "can0".',
        ),
        (
            "[bus.a]\n[bus.a]\n",
            "2: this is not TOML: cannot declare bus.a twice, column 7. Remove the second one.",
        ),
        (
            "a = 1\na = 2\n",
            (
                "2: this is not TOML: cannot overwrite a value, column 6. "
                "Remove the key or table that is here for the second time."
            ),
        ),
        ('x = 1\na = """\n\n', "3: this is not TOML: unterminated string. Correct the line."),
        (b"a = 1\nb = '\xe4'\n", "2: byte 0xE4 is not UTF-8 text. Save the file as UTF-8."),
        ("a = " + "[" * 20_000, " the brackets are nested too deeply. Use fewer of them."),
        (b"#" * (5 << 20), " the file has more than 4 MiB. Name a configuration file."),
    ],
)
def test_file_that_is_no_configuration(content: str | bytes, expected: str, problems_of: ProblemsOf) -> None:
    assert problems_of(content) == [f"main.toml:{expected}"]


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    def problem(path: Path) -> str:
        with pytest.raises(ConfigurationError) as caught:
            load(path)
        return str(caught.value)

    missing = tmp_path / "missing.toml"
    assert problem(missing) == (
        f"{missing}: there is no such file. "
        f"Create it from the example, or name another: cancorderd --example >{missing}"
    )
    assert problem(tmp_path) == f"{tmp_path}: this is a folder. Name a file."
    below = write(tmp_path, "") / "x"
    assert problem(below) == f"{below}: it cannot be read (Not a directory). Check the file and its disk."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_this_user_may_not_read(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    file = write(tmp_path, 'include = ["closed/*.toml"]')
    closed.chmod(0)
    try:
        with pytest.raises(ConfigurationError, match="this user may not list the folder of") as caught:
            load(file)
        assert caught.value.problems[0].line == 1
    finally:
        closed.chmod(0o700)
    file.chmod(0)
    with pytest.raises(ConfigurationError, match="this user may not read it"):
        load(file)


def test_the_demo_is_one_mock_bus(tmp_path: Path) -> None:
    configuration = demo(tmp_path / "control.sock", tmp_path)
    (bus,) = configuration.buses
    assert (bus.name, bus.interface) == ("demo", "mock")
    assert isinstance(bus, MockSettings) and bus.start == "client"
    assert configuration.daemon.control_socket == str(tmp_path / "control.sock")
    assert configuration.daemon.state_dir == str(tmp_path)


scalars = st.sampled_from([0, -1, 5, 2_000_000, True, 1.5, float("nan"), "", "mock", "slcan", "x" * 99, "::"])
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "mask"]), inner),
)
bus_keys = st.sampled_from(
    sorted({key for kind in registry.settings_classes() for key in keys(kind)} | {"name", "odd"})
)
interfaces = st.fixed_dictionaries({}, optional={"interface": scalars | st.sampled_from(["replay", "pcan"])})
tables = st.builds(
    lambda keys, interface: keys | interface, st.dictionaries(bus_keys, anything, max_size=5), interfaces
)
buses = st.dictionaries(st.sampled_from(["a", "b", "c d", ""]), tables | anything, max_size=3)
documents = st.fixed_dictionaries(
    {}, optional={"bus": buses | anything, "defaults": tables | anything, "daemon": anything, "odd": anything}
)


@given(documents)
def test_any_file_is_loaded_or_has_problems_with_lines(document: dict[str, object]) -> None:
    with tempfile.NamedTemporaryFile("wb", suffix=".toml") as file:
        tomli_w.dump(document, file)
        file.flush()
        try:
            load(file.name)
        except ConfigurationError as error:
            assert error.problems
            assert all(problem.line for problem in error.problems)


def test_the_recording_of_a_bus_adds_to_the_defaults(tmp_path: Path) -> None:
    text = """
[defaults]
interface = "mock"
[defaults.record]
directory = "/data"
keep = 3
[bus.a]
[bus.b.record]
format = "blf"
[bus.c]
record.enabled = false
"""
    records = [bus.record for bus in load(write(tmp_path, text)).buses]
    assert records == [
        RecordSettings(directory="/data", keep=3),
        RecordSettings(directory="/data", keep=3, format="blf"),
        RecordSettings(directory="/data", keep=3, enabled=False),
    ]


def test_nothing_is_recorded_by_default_and_an_empty_table_records(tmp_path: Path) -> None:
    text = '[bus.a]\ninterface = "mock"\n[bus.b]\ninterface = "mock"\nrecord = {}\n'
    without, recorded = load(write(tmp_path, text)).buses
    assert without.record is None
    assert recorded.record == RecordSettings(
        directory="/var/lib/cancorder/recordings", format="log", rotate_mb=100, keep=10
    )


def test_recordings_are_in_the_state_folder_unless_the_bus_says_otherwise(tmp_path: Path) -> None:
    text = f"""
[daemon]
state_dir = "{tmp_path}/state"
[defaults]
interface = "mock"
record = {{}}
[bus.a]
[bus.b.record]
directory = "/data"
"""
    records = [bus.record for bus in load(write(tmp_path, text)).buses]
    assert [record and record.directory for record in records] == [f"{tmp_path}/state/recordings", "/data"]


@pytest.mark.parametrize(
    ("record", "max_mb", "rotate_mb"),
    [
        ("{}", 1000, 100),
        ("{ keep = 3 }", 300, 100),
        ("{ keep = 3, rotate_mb = 7 }", 21, 7),
        ("{ keep = 0, rotate_mb = 7 }", 0, 7),
        ("{ max_mb = 0 }", 0, 100),
        ("{ max_mb = 50 }", 50, 5),
        ("{ max_mb = 5 }", 5, 1),
        ("{ max_mb = 50, rotate_mb = 40 }", 50, 40),
        ("{ max_mb = 50_000 }", 50_000, 100),
    ],
)
def test_limits_of_a_recording(tmp_path: Path, record: str, max_mb: int, rotate_mb: int) -> None:
    (bus,) = load(write(tmp_path, f'[bus.a]\ninterface = "mock"\nrecord = {record}\n')).buses
    assert bus.record
    assert (bus.record.max_mb, bus.record.rotate_mb, bus.record.keep) == (max_mb, rotate_mb, None)
    assert from_json(to_json(bus)) == bus


def test_a_bus_replaces_the_limit_of_the_defaults_in_either_form(tmp_path: Path) -> None:
    for inherited, own, max_mb in (("keep = 5", "max_mb = 70", 70), ("max_mb = 70", "keep = 5", 500)):
        text = f"[defaults.record]\n{inherited}\n[bus.a]\ninterface = 'mock'\n[bus.a.record]\n{own}\n"
        (bus,) = load(write(tmp_path, text)).buses
        assert bus.record
        assert bus.record.max_mb == max_mb


def test_both_limits_in_the_defaults_are_a_mistake_there(problems_of: ProblemsOf) -> None:
    text = (
        "[defaults.record]\nkeep = 5\nmax_mb = 70\n[bus.a]\ninterface = 'mock'\n[bus.b]\ninterface = 'mock'\n"
    )
    assert problems_of(text) == [
        "main.toml:2: defaults.record.keep: 5 is set besides max_mb, and both limit the size of all files. Remove keep."
    ]


def test_a_mistake_in_the_recording_of_all_buses_is_reported_once_at_the_defaults(
    problems_of: ProblemsOf,
) -> None:
    head = '[defaults]\ninterface = "mock"\n[defaults.record]\nformat = "csv"\n'
    assert problems_of(f"{head}[bus.a]\n[bus.b.record]\nkeep = -1\n[bus.c]\n") == [
        'main.toml:4: defaults.record.format: there is no format "csv". Write "log", "asc", "blf" or "mf4".',
        "main.toml:7: bus.b.record.keep: -1 is below 0. Use a value such as 10.",
    ]
