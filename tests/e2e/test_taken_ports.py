"""Ports that other programs have, on a network of its own."""

from tests.support.network_namespace import run_module


def test_a_bus_with_a_kept_port_goes_on_without_it() -> None:
    done = run_module("tests.e2e.taken_ports")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
