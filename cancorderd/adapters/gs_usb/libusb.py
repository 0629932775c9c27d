"""libusb on macOS: found in the folders of Homebrew and MacPorts, whichever Python runs.

Homebrew's Python looks there by itself; Apple's, that of python.org and those of uv and pyenv do not.
"""

from __future__ import annotations

import ctypes.util
import os
import sys

import usb.backend.libusb1

_FOLDERS = ("/opt/homebrew/lib", "/usr/local/lib", "/opt/local/lib")
"""Of Homebrew on Apple's processors, of Homebrew on Intel's, of MacPorts."""


def folders() -> tuple[str, ...]:
    """Return the folders to look in, that of Homebrew elsewhere first."""
    prefix = os.environ.get("HOMEBREW_PREFIX")
    return (f"{prefix}/lib", *_FOLDERS) if prefix else _FOLDERS


def find_library(name: str) -> str | None:
    """Return the path of a library, such as "usb-1.0", or None: where Python looks, then in `folders`."""
    if found := ctypes.util.find_library(name):
        return found
    paths = (f"{folder}/lib{name.removeprefix('lib')}.dylib" for folder in folders())
    return next(filter(os.path.isfile, paths), None)


def prepare() -> None:
    """Load libusb for pyusb, which keeps it; does nothing but on macOS."""
    if sys.platform == "darwin":
        usb.backend.libusb1.get_backend(find_library)
