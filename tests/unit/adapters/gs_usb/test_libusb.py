from __future__ import annotations

import ctypes.util
import sys
from typing import TYPE_CHECKING

import usb.backend.libusb1

from cancorderd.adapters.gs_usb import libusb

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_library_is_found_where_python_looks_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "libusb-1.0.dylib").touch()
    monkeypatch.setattr(libusb, "_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: f"/usr/lib/{name}")
    assert libusb.find_library("usb-1.0") == "/usr/lib/usb-1.0"


def test_a_python_that_does_not_look_in_homebrews_folder_finds_the_library_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(libusb, "_FOLDERS", ("/nonexistent", str(tmp_path)))
    monkeypatch.setattr(ctypes.util, "find_library", lambda _name: None)
    assert libusb.find_library("usb-1.0") is None
    (tmp_path / "libusb-1.0.dylib").touch()
    for name in ("usb-1.0", "libusb-1.0"):  # pyusb asks for both
        assert libusb.find_library(name) == f"{tmp_path}/libusb-1.0.dylib"


def test_a_homebrew_elsewhere_is_looked_in_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEBREW_PREFIX", "/opt/brew")
    assert libusb.folders()[:2] == ("/opt/brew/lib", "/opt/homebrew/lib")


def test_only_macos_gets_another_way_to_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(usb.backend.libusb1, "get_backend", asked.append)
    for platform in ("linux", "darwin"):
        monkeypatch.setattr(sys, "platform", platform)
        libusb.prepare()
    assert asked == [libusb.find_library]
