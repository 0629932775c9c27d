"""`cancorderctl discover`, and `dump` of the loggers that it lists, on a network of their own."""

from tests.support.network_namespace import run_module


def test_loggers_are_listed_and_dumped_by_name() -> None:
    done = run_module("tests.e2e.discover_as_user")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
