"""Searching for loggers beside neighbours that announce whatever they like, on a network of their own."""

from tests.support.network_namespace import run_module


def test_loggers_are_found_and_shown_in_printable_text() -> None:
    done = run_module("tests.e2e.hostile_neighbours")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
