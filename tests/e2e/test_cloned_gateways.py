"""Gateways that share a host name, and two of them every file, on one network."""

from tests.support.network_namespace import run_module


def test_each_gateway_has_a_host_of_its_own_and_is_found_by_name() -> None:
    done = run_module("tests.e2e.cloned_gateways")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
