from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cancorderd.installation import product_files
from cancorderd.installation.product_files import FILES, locations
from tests.support.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_a_checkout_has_every_file() -> None:
    found = locations(str(ROOT / "cancorderd"))
    assert found == {file.name: str(ROOT / file.source) for file in FILES}


def test_a_wheel_has_its_own(tmp_path: Path) -> None:
    package = tmp_path / "site-packages/cancorderd"
    (package / "share/etc").mkdir(parents=True)
    (package / "share/etc/cancorder.toml").touch()
    assert locations(str(package)) == {"example": str(package / "share/etc/cancorder.toml")}


def test_files_of_others_beside_the_package_are_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "site-packages/etc").mkdir(parents=True)
    (tmp_path / "site-packages/etc/cancorder.toml").touch()
    assert locations(str(tmp_path / "site-packages/cancorderd")) == {}


def test_the_package_of_a_distribution_has_them_in_its_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {file.packaged for file in FILES if file.packaged}
    monkeypatch.setattr("os.path.exists", lambda path: path in there)
    found = locations("/usr/lib/cancorderd/cancorderd")
    assert found == {file.name: file.packaged for file in FILES if file.packaged}


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product_files, "_PACKAGE", "/nowhere/cancorderd")
    with pytest.raises(
        product_files.MissingFileError, match=r"this installation has no hub \(set-up of a hub"
    ):
        product_files.text("hub")


def test_names_are_unique() -> None:
    assert len({file.name for file in FILES}) == len(FILES)
