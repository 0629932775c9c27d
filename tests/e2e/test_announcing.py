"""A daemon whose buses and host have names of any length, on a network of their own."""

from tests.support.network_namespace import run_module


def test_every_bus_is_announced_whatever_its_name() -> None:
    done = run_module("tests.e2e.announced_names")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
