"""The container image, started with the rights of contrib/containers/compose.yaml: read-only, as an ordinary user."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.packages.podman import READ_ONLY, Podman
from tests.support.harness import Client, free_port, poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE_FILE = os.environ.get("CANCORDER_IMAGE", "")
pytestmark = pytest.mark.skipif(
    not IMAGE_FILE or shutil.which("podman") is None, reason="needs podman and an image: tests/run packages"
)
CONTAINER = "gateway"


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    folder = tmp_path_factory.mktemp("podman")
    podman = Podman(folder)
    yield podman
    podman("rm", "--all", "--force", "--time", "0", "--volumes")
    podman("rmi", "--all", "--force")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(podman: Podman) -> str:
    """The image's name, after loading."""
    return podman("load", "--quiet", "--input", IMAGE_FILE).stdout.strip().removeprefix("Loaded image: ")


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is mounted at /etc/cancorder."""
    folder = tmp_path_factory.mktemp("configuration")
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def port(podman: Podman, image: str, configuration: Path) -> int:
    """The port of the bus of a running container."""
    port = free_port()
    text = f'[bus.body]\ninterface = "mock"\nstart = "always"\nport = {port}\nzeroconf = false\n'
    (configuration / "cancorder.toml").write_text(text)
    podman.start(CONTAINER, *READ_ONLY, "--volume", f"{configuration}:/etc/cancorder:ro", image)
    poll(lambda: status(podman) == 0, what=f"a healthy container: {podman('logs', CONTAINER).stderr}")
    return port


def status(podman: Podman) -> int:
    """Return the exit status of the health check."""
    return podman("exec", CONTAINER, "cancorderctl", "status", check=False).returncode


def test_the_image_has_the_name_that_compose_and_kubernetes_use(image: str) -> None:
    assert image.startswith("localhost/cancorderd:")


def test_a_client_gets_frames(port: int) -> None:
    with Client(port) as client:
        client.wait_frames(20)


def test_the_daemon_is_process_1_and_an_ordinary_user_without_capabilities(podman: Podman, port: int) -> None:
    assert port
    text = podman("exec", CONTAINER, "cat", "/proc/1/status").stdout
    facts = {key: value.split() for key, _, value in (line.partition(":") for line in text.splitlines())}
    assert facts["Uid"] == facts["Gid"] == ["900"] * 4
    assert {"20", "46"} <= set(facts["Groups"])  # dialout and plugdev
    assert int(facts["CapEff"][0], 16) == int(facts["CapBnd"][0], 16) == 0
    assert facts["NoNewPrivs"] == ["1"]
    assert b"cancorderd" in podman("exec", CONTAINER, "cat", "/proc/1/cmdline").stdout.encode()


@pytest.mark.parametrize("place", ["/", "/etc", "/usr/lib/cancorderd", "/etc/cancorder"])
def test_the_root_folder_is_read_only(podman: Podman, port: int, place: str) -> None:
    assert port
    done = podman("exec", "--user", "0", CONTAINER, "touch", f"{place}/new", check=False)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr


def test_the_state_is_kept_in_a_volume(podman: Podman, port: int) -> None:
    assert port
    podman("exec", CONTAINER, "touch", "/var/lib/cancorder/new")


def test_process_1_collects_orphans(podman: Podman, port: int) -> None:
    assert port
    daemon = psutil.Process(podman.state(CONTAINER)["Pid"])
    own = set(daemon.children())
    podman("exec", CONTAINER, "sh", "-c", "sleep 600 >/dev/null 2>&1 &")
    (orphan,) = set(daemon.children()) - own
    orphan.kill()
    poll(lambda: set(daemon.children()) == own, what="no orphan")


def test_a_configuration_that_an_editor_has_replaced_is_reloaded(
    podman: Podman, port: int, configuration: Path
) -> None:
    assert port
    file, anew = configuration / "cancorder.toml", configuration / "anew"
    anew.write_text(file.read_text() + '[bus.more]\ninterface = "mock"\nzeroconf = false\n')
    anew.rename(file)
    assert "more: " in podman("exec", CONTAINER, "cancorderctl", "reload").stdout


def test_a_container_that_is_stopped_ends_in_good_order(podman: Podman, port: int) -> None:
    podman("stop", "--time", "30", CONTAINER)
    state = podman.state(CONTAINER)
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
    assert "stopped" in podman("logs", CONTAINER).stderr.splitlines()[-1]
    podman("start", CONTAINER)
    poll(lambda: status(podman) == 0, what="a container that was started again")
    with Client(port) as client:
        client.wait_frames(5)


def test_the_status_of_a_container_without_a_daemon_is_7(podman: Podman, image: str) -> None:
    done = podman.run("--read-only", "--read-only-tmpfs=false", image, "cancorderctl", "status")
    assert (done.returncode, "Traceback" in done.stderr) == (7, False)


def test_without_a_configuration_there_is_a_simulated_bus(podman: Podman, image: str) -> None:
    done = podman.run(image, "cancorderctl", "check")
    assert (done.returncode, done.stderr) == (0, "")
