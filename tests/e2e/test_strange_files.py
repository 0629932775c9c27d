"""Files that are emptied, no files at all, or made to be expensive, with the real daemon and commands."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Daemon

MOCK = '[bus.{}]\ninterface = "mock"\nstart = "always"\n'


def check(path: str, **streams: int) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-m", "cancorderd.cli.cancorderctl", "check", path],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False, **streams,  # type: ignore[call-overload]
    )  # fmt: skip
    return done


def test_an_emptied_file_changes_nothing(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK.format("a"))
    drop_in = running.folder / "d.toml"
    drop_in.write_text(MOCK.format("b"))
    whole = f'include = ["d.toml"]\n{running.file.read_text()}'
    running.file.write_text(whole)
    assert running.ctl("reload").returncode == 0
    running.wait_state("b", "running")
    workers = {name: running.bus(name)["pid"] for name in "ab"}
    for file, remedy in ((running.file, "write [daemon] in it"), (drop_in, "remove the file")):
        text = file.read_text()
        file.write_text("")
        done = running.ctl("reload")
        assert done.returncode == 1
        assert f"{file}: the file holds nothing but blanks and comments" in done.stdout + done.stderr
        assert remedy in done.stdout + done.stderr
        file.write_text(text)
    assert {name: running.bus(name)["pid"] for name in "ab"} == workers
    drop_in.unlink()
    running.file.write_text(whole.partition("\n")[2])
    assert running.ctl("reload").returncode == 0
    assert [bus["name"] for bus in running.status()["buses"]] == ["a"]


STRANGE = {
    "port = " + "1" * 4301: "bus.b.port: the value has more than 1000 characters",
    "x." * 330 + "y = 1": "bus.b.x: the key leads more than 32 levels deep",
    "options = " + "{a = " * 255 + "1" + "}" * 255: "bus.b.options: the brackets are nested",
    "options = {a = nan}": "bus.b.options.a: nan is not a finite number",
    'channel = "\\u0000"': "bus.b.channel: the text holds a NUL character",
    "[" + "a." * 20_000 + "a]": "a.a.a: the key leads more than 32 levels deep",
}


def test_a_reload_names_what_cannot_be_read_and_changes_nothing(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK.format("a"))
    running.wait_state("a", "running")
    before = running.bus("a")["pid"]
    text = running.file.read_text()
    for strange, fact in STRANGE.items():
        running.file.write_text(f"{text}[bus.b]\ninterface = 'pcan'\n{strange}\n")
        done = running.ctl("reload")
        assert "takes longer" not in done.stderr, "it was not the time limit that ended the reload"
        assert done.returncode == 1
        assert fact in done.stdout + done.stderr
    assert running.bus("a")["pid"] == before


def test_a_pipe_among_the_included_files_holds_nothing_up(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK.format("a"))
    running.wait_state("a", "running")
    os.mkfifo(running.folder / "d.toml")
    running.file.write_text(f'include = ["d*.toml"]\n{running.file.read_text()}')
    done = running.ctl("reload")
    assert "d.toml: this is a pipe" in done.stdout + done.stderr
    assert "takes longer" not in done.stderr, "it was not the time limit that ended the reload"
    assert running.stop() == 0


def test_check_reads_a_pipe_that_its_command_line_names(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, MOCK.format("a").encode())
    os.close(writer)
    with open(reader):
        done = check("/dev/stdin", stdin=reader)
    assert (done.returncode, done.stdout) == (0, "/dev/stdin: 1 bus: no mistakes.\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "main.toml").write_text('include = ["pipe"]\n')
    done = check(str(tmp_path / "main.toml"))
    assert (done.returncode, done.stderr) == (
        1,
        f"{tmp_path}/pipe: this is a pipe. Name a file, or remove this from its folder.\n",
    )


def test_check_of_a_file_whose_name_is_no_text(tmp_path: Path) -> None:
    file = os.fsencode(tmp_path) + b"/\xff\x1b[2J.toml"
    with open(file, "w") as opened:
        opened.write(MOCK.format("a"))
    done = check(os.fsdecode(file))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/??[2J.toml: 1 bus: no mistakes.\n")
