"""Search for a daemon's bus while this new network namespace is full of hostile records; failures are exceptions."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from cancorderd import client
from tests.support import hostile_mdns
from tests.support.harness import Daemon, poll
from tests.support.network_namespace import bring_loopback_up

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSES = '[bus.body]\ninterface = "mock"\nstart = "always"\n'


def main() -> None:
    bring_loopback_up()
    with tempfile.TemporaryDirectory() as folder, Daemon(Path(folder), BUSES, zeroconf=True) as daemon:
        port = daemon.wait_port("body")
        with hostile_neighbours():
            check_discover(daemon, port)
            check_dump(daemon)
            check_changes(port)
        log = daemon.log.read_text()
        assert "Traceback" not in log, log
        assert all(line.isprintable() for line in log.splitlines()), log
        assert daemon.bus("body")["state"] == "running"
        assert daemon.stop() == 0


@contextlib.contextmanager
def hostile_neighbours() -> Iterator[None]:
    """Announce hostile records, and mutations of them, again and again."""
    ended = threading.Event()

    def announce() -> None:
        seed = 0
        while not ended.wait(0.3):
            hostile_mdns.send(hostile_mdns.packets())
            hostile_mdns.send(hostile_mdns.mutations(seed, 50))
            seed += 1

    thread = threading.Thread(target=announce)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def check_discover(daemon: Daemon, port: int) -> None:
    table = daemon.ctl("discover")
    check_output(table.returncode, table.stdout, table.stderr)
    assert any(" body " in line and f" {port} " in line for line in table.stdout.splitlines()), table.stdout
    done = daemon.ctl("discover", "--json")
    check_output(done.returncode, done.stdout, done.stderr)
    loggers = {logger["name"]: logger for logger in json.loads(done.stdout)}
    assert any(logger["text"].get("bus") == "body" for logger in loggers.values()), loggers.keys()
    texts = json.loads(done.stdout, object_pairs_hook=lambda pairs: [str(item) for item in pairs])
    assert str(texts).isprintable()
    assert "ECUconnect-Logger port 0" not in loggers
    assert all("0.0.0.0" not in logger["addresses"] for logger in loggers.values())
    assert len(loggers) > 5, "the hostile ones are found, too"


def check_dump(daemon: Daemon) -> None:
    done = daemon.ctl("dump", "zeroconf:body", "-n", "1")
    check_output(done.returncode, done.stdout, done.stderr)
    for name in ("ECUconnect-Logger host", "ECUconnect-Logger text", "nobody has this name"):
        done = daemon.ctl("dump", f"zeroconf:{name}", "-n", "1")
        assert (done.returncode, done.stdout) == (1, ""), done
        check_output(0, done.stdout, done.stderr.removeprefix("cancorderctl: zeroconf:nobody"), errors=True)


def check_output(status: int, output: str, errors_text: str, *, errors: bool = False) -> None:
    assert status == 0, (output, errors_text)
    assert "Traceback" not in errors_text, errors_text
    assert bool(errors_text) == errors, errors_text
    for line in (output + errors_text).split("\n"):
        assert line.isprintable(), repr(line)


def check_changes(port: int) -> None:
    """A browser goes on, too; a logger is found although many names have no address."""
    with client.browse() as browser:
        found = poll(lambda: next_of_ours(browser, port), what="our bus")
    assert found
    assert found.logger.text["bus"] == "body"


def next_of_ours(browser: client.Browser, port: int) -> client.Change | None:
    change = browser.next(1.0)
    return change if change and change.logger.port == port else None


if __name__ == "__main__":
    main()
