from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from cancorderd.installation import product_files, service_files
from cancorderd.installation.environment import Environment
from cancorderd.installation.service_files import CONFIGURATION, ForeignFilesError, ServiceFiles
from tests.support.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HERE = Environment("/opt/x", "/opt/x/bin", ())
UNIT = "etc/systemd/system/cancorderd.service"


def files(environment: Environment = HERE) -> ServiceFiles:
    return service_files.service_files(
        environment, service_files.read_product(), product_files.manual_pages()
    )


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or path.is_file()}


def test_units_start_the_commands_of_the_environment() -> None:
    texts = files().texts
    commands = re.findall(r"^Exec\w+=(.*)$", "".join(texts.values()), re.MULTILINE)
    assert commands == [
        "/opt/x/bin/cancorderd",
        "/opt/x/bin/cancorderctl reload",
        "/opt/x/bin/cancorderctl web serve",
    ]


def test_the_rest_of_each_file_is_the_packages_own() -> None:
    for text, name in zip(files().texts.values(), service_files.read_product(), strict=True):
        mark, _, rest = text.partition("\n")
        assert mark == "# Written by `cancorderctl service install` for /opt/x."
        assert rest.replace("/opt/x/bin/", "/usr/bin/") == product_files.text(name)


def test_a_path_is_written_as_systemd_reads_it() -> None:
    text = files(Environment("/opt/a b%c", "/opt/a b%c/bin", ())).texts[f"/{UNIT}"]
    assert "ExecStart=/opt/a\\x20b%%c/bin/cancorderd\n" in text


def test_units_are_enabled_as_they_ask_for_it() -> None:
    wanted = {
        f"/etc/systemd/system/{target}.wants/{unit}"
        for unit in service_files.UNITS
        for target in re.findall(
            r"^WantedBy=(.*)$", (ROOT / "packaging/systemd" / unit).read_text(), re.MULTILINE
        )
    }
    assert set(files().links) == wanted


def test_every_program_and_page_gets_a_link() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    links = set(files().conveniences)
    assert {f"/usr/local/bin/{name}" for name in scripts} <= links
    assert "/usr/local/share/man/man5/cancorder.toml.5" in links
    assert len(links) == len(scripts) + len(product_files.manual_pages())


def test_what_is_written_is_removed_again_but_for_the_configuration(tmp_path: Path) -> None:
    written = service_files.write(files(), str(tmp_path), "# example\n")
    assert {path.lstrip("/") for path in (*written, *files().links)} == tree(tmp_path)
    assert (tmp_path / "etc/cancorder.d").is_dir()
    removed = service_files.remove(files(), str(tmp_path))
    assert set(removed) == {*written, *files().links} - {CONFIGURATION}
    assert tree(tmp_path) == {"etc/cancorder.toml"}
    assert service_files.remove(files(), str(tmp_path)) == []


def test_writing_again_follows_the_environment_and_keeps_the_configuration(tmp_path: Path) -> None:
    service_files.write(files(), str(tmp_path), "# example\n")
    (tmp_path / "etc/cancorder.toml").write_text("# mine\n")
    moved = files(Environment("/opt/y", "/opt/y/bin", ()))
    service_files.write(moved, str(tmp_path), "# example\n")
    assert (tmp_path / "etc/cancorder.toml").read_text() == "# mine\n"
    assert "/opt/y/bin/cancorderd\n" in (tmp_path / UNIT).read_text()
    assert (tmp_path / "usr/local/bin/cancorderctl").readlink().as_posix() == "/opt/y/bin/cancorderctl"


@pytest.mark.parametrize("path", [UNIT, "etc/udev/rules.d/60-cancorderd.rules"])
def test_files_of_others_are_not_touched(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text("# the administrator's own\n")
    with pytest.raises(ForeignFilesError, match=f"/{path}"):
        service_files.write(files(), str(tmp_path), "")
    assert tree(tmp_path) == {path}
    assert service_files.remove(files(), str(tmp_path)) == []
    assert tree(tmp_path) == {path}


def test_a_masked_unit_stays_masked(tmp_path: Path) -> None:
    (tmp_path / UNIT).parent.mkdir(parents=True)
    (tmp_path / UNIT).symlink_to("/dev/null")
    with pytest.raises(ForeignFilesError):
        service_files.write(files(), str(tmp_path), "")


def test_programs_of_others_in_usr_local_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "usr/local/bin"
    folder.mkdir(parents=True)
    (folder / "cancorderd").write_text("another")
    (folder / "other").touch()
    (folder / "cancorderctl").symlink_to("other")
    written = service_files.write(files(), str(tmp_path), "")
    assert not {"/usr/local/bin/cancorderd", "/usr/local/bin/cancorderctl"} & set(written)
    service_files.remove(files(), str(tmp_path))
    assert {path.name for path in folder.iterdir()} == {"cancorderd", "cancorderctl", "other"}


def test_programs_that_are_in_usr_local_already_need_no_links(tmp_path: Path) -> None:
    written = service_files.write(files(Environment("/usr/local", "/usr/local/bin", ())), str(tmp_path), "")
    assert not [path for path in written if path.startswith("/usr/local/bin")]
