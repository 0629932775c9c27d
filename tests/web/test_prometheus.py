"""Debian's Prometheus and promtool: metrics are well-formed, a scrape gives the right rate, alerts fire when they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import PATIENCE_S, ROOT, free_port, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.web.browser import Gateway

RATE = 500
FULL = f'[bus.full]\ninterface = "mock"\nrate = {RATE}\nstart = "always"\n'
ALERTS = ROOT / "contrib/prometheus"

pytestmark = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="no Prometheus. Install it: apt-get install prometheus",
)


def fetched(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
        return bytes(answer.read())


def test_promtool_finds_the_metrics_clean(gateway: Callable[..., Gateway]) -> None:
    found = gateway(FULL)
    found.wait_state("full", "running")
    text = metrics_with_a_bus(found)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def metrics_with_a_bus(found: Gateway) -> bytes:
    def look() -> bytes:
        text = fetched(f"{found.address}/metrics")
        return text if b'cancorder_bus_frames_received_total{bus="full"}' in text else b""

    return poll(look, what="metrics of the bus")


def test_alerts_are_right_and_fire_when_they_should() -> None:
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        checked = subprocess.run(
            ["promtool", *command],
            cwd=ALERTS,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_board_and_alerts_name_only_metrics_that_exist() -> None:
    known = (ROOT / "cancorderd/web/metrics.py").read_text()
    text = (ALERTS / "alerts.yml").read_text() + (ROOT / "contrib/grafana/cancorderd.json").read_text()
    for name in set(re.findall(r"\bcancorder_\w+", text)):
        stem = re.sub(r"(_total|_bucket)$", "", name).removeprefix("cancorder_bus_")
        assert stem in known or name in known, name


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """Run Prometheus, which scrapes `target` every second; yields its address."""
    file = folder / "prometheus.yml"
    file.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"rule_files: ['{ALERTS / 'alerts.yml'}']\n"
        f"scrape_configs: [{{job_name: can, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    place = f"127.0.0.1:{free_port()}"
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={place}"],
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield f"http://{place}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def queried(address: str, query: str) -> float | None:
    """Return the value of a query with one result; None if there is none yet."""
    try:
        answer = json.loads(fetched(f"{address}/api/v1/query?query={urllib.parse.quote(query)}"))
    except OSError:
        return None
    results = answer["data"]["result"]
    return float(results[0]["value"][1]) if results else None


def test_prometheus_measures_the_rate_of_a_bus(gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    found = gateway(FULL)
    found.wait_state("full", "running")
    with prometheus(tmp_path, f"127.0.0.1:{found.port}") as address:
        rate = 'rate(cancorder_bus_frames_received_total{bus="full"}[10s])'
        # Not at once: until ten seconds of scrapes are there, `rate` takes the time before them for one without frames. And a
        # busy machine is late now and then, with frames and with scrapes.
        poll(lambda: RATE * 0.8 < (queried(address, rate) or 0) < RATE * 1.25, 2 * PATIENCE_S, "the rate")
        assert queried(address, "cancorder_up") == 1
        assert queried(address, 'cancorder_bus_state{bus="full",state="running"}') == 1
