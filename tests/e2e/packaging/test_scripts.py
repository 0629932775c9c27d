"""Shell scripts pass shellcheck."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = [
    *(
        "packaging/debian/build",
        "packaging/debian/postinst",
        "packaging/debian/prerm",
        "packaging/debian/postrm",
    ),
    *("packaging/launchd/install", "packaging/man/build", "packaging/release/run"),
    *("packaging/homebrew/formula", "packaging/oci/build", "packaging/oci/customize"),
    "packaging/fedora_arch/build",
    *(
        "contrib/demo",
        ".ci/run",
        "tests/run",
        "tests/bench/run",
        "tests/fresh/run",
        "tests/fresh/guest",
        "tests/fresh/machine",
    ),
    *("tests/debian/run", "tests/debian/guest", "tests/support/older_package"),
    *("tests/lab/run", "tests/lab/machine", "tests/lab/old_package", "tests/usb/run", "tests/usb/machine"),
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_finds_no_mistakes(script: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is missing")
    done = subprocess.run(
        ["shellcheck", "--external-sources", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
