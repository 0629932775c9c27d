"""Addresses in `listen` that come and go, on a network of their own."""

from tests.support.network_namespace import run_module


def test_a_bus_serves_each_address_while_this_machine_has_it() -> None:
    done = run_module("tests.e2e.absent_addresses")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
