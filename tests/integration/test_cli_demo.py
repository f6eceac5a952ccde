"""`edgewright demo`, whole: it ends well on both engines, and leaves nothing behind however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engines import Engine, EngineApi
from support.processes import start, wait_until
from support.testbed import Testbed

LABEL = "io.edgewright.deployment"
COMMAND = (sys.executable, "-m", "edgewright.cli.main", "demo")


@pytest.fixture
def environment(testbed: Testbed, tmp_path: Path) -> dict[str, str]:
    """What a person's shell would hold: the programs on the path, a folder for temporary files."""
    programs = {str(Path(program).parent) for program in (testbed.busybox, testbed.docker_registry)}
    (tmp_path / "tmp").mkdir()
    return {
        "PATH": ":".join([*sorted(programs), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path / "tmp"),
    }


@pytest.fixture
def alone(docker_engine: Engine, testbed: Testbed, tmp_path: Path) -> Iterator[None]:
    """One demo at a time on Docker; after the test nothing of it may be there, nor a temporary file.

    The application's network has one name, whoever runs it: that is what other tests do not have.
    """
    api = EngineApi(docker_engine.socket)
    with (Path(testbed.directory) / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = image_names(api)
        yield
        assert [one["Names"] for one in api.containers(LABEL) if "/hello/" in one["Image"]] == []
        assert "hello-line" not in [network["Name"] for network in api.networks()]
        assert [one["Name"] for one in api.volumes(LABEL) if one["Name"].endswith("_visits")] == []
        assert image_names(api) - before == set()
        assert list((tmp_path / "tmp").iterdir()) == []


def image_names(api: EngineApi) -> set[str]:
    """Return the names of the demo's images that the engine has."""
    names = [name for image in api.get("/images/json?all=true") for name in image["RepoTags"] or []]
    return {name for name in names if name.startswith("localhost:") and "/hello/" in name}


def on_docker(engine: Engine) -> list[str]:
    return [*COMMAND, "--engine", f"unix://{engine.socket}", "--compose", engine.compose]


STEPS = ("enroll this device", "install version 1.0.0", "update to 2.0.0", "change parameters", "remove it")


@pytest.mark.engine
@pytest.mark.requirement("S-1", "S-8", "S-28")
@pytest.mark.usefixtures("alone")
def test_the_demo_ends_well_on_docker(docker_engine, environment):
    done = subprocess.run(
        on_docker(docker_engine), env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.partition("WHAT WAS SEEN")[2]
    assert all(step in table for step in STEPS)
    assert "counter kept" in table
    assert "nothing left behind" in table


@pytest.fixture
def podman_storage(podman_engine: Engine) -> Iterator[Path]:
    """Storage of this test's own for Podman, and the settings that make the testbed's work on this machine.

    The path is short, because Podman's sockets lie below it.
    """
    folder = Path(tempfile.mkdtemp(prefix="ew-demo-", dir="/var/tmp"))
    settings = Path(podman_engine.socket).with_name("containers.conf").read_text()
    (folder / "containers.conf").write_text(
        f'{settings}\n[network]\nnetwork_config_dir = "{folder}/networks"\n'
    )
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
    )
    yield folder
    # Podman keeps its storage mounted on itself until the machine is switched off.
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in reversed([point for point in mounted if point.startswith(f"{folder}/")]):
        subprocess.run(["umount", point], check=True)
    shutil.rmtree(folder)


@pytest.mark.engine
def test_the_demo_ends_well_on_podman(podman_engine, podman_storage, environment, tmp_path):
    done = subprocess.run(
        [*COMMAND, "--engine", "podman", "--compose", podman_engine.compose],
        env=environment
        | {
            "CONTAINERS_CONF": str(podman_storage / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(podman_storage / "storage.conf"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Podman" in done.stdout
    storage = podman_storage / "storage"
    assert json.loads((storage / "overlay-containers" / "containers.json").read_text()) == []
    assert json.loads((storage / "overlay-images" / "images.json").read_text()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.engine
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("publish the application", signal.SIGINT),
        ("enroll this device", signal.SIGTERM),
        ("sensor installing", signal.SIGINT),
        ("greeter installing", signal.SIGHUP),
    ],
)
@pytest.mark.usefixtures("alone")
def test_an_interrupted_demo_leaves_nothing(docker_engine, environment, tmp_path, number, moment):
    log = tmp_path / "demo.log"
    process = start(on_docker(docker_engine), log=log, environment=environment)
    try:
        wait_until(
            lambda: moment in log.read_text(),
            what=f"the demo did not come to '{moment}'",
            alive=lambda: process.poll() is None,
        )
        process.send_signal(number)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, log.read_text()
    assert "nothing left behind" in log.read_text()


@pytest.mark.usefixtures("alone")
def test_a_missing_engine_is_said_and_nothing_is_left(docker_engine, environment, tmp_path):
    words = [*COMMAND, "--engine", f"unix://{tmp_path}/gone.sock", "--compose", docker_engine.compose]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "gone.sock" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("program", "package"), [("docker-registry", "docker-registry"), ("busybox", "busybox-static")]
)
def test_a_missing_program_is_said_with_what_to_install(environment, tmp_path, program, package):
    """Every program of the path but the one is there."""
    found = tmp_path / "bin"
    found.mkdir()
    for folder in reversed(environment["PATH"].split(":")):
        for one in Path(folder).glob("*") if Path(folder).is_dir() else ():
            (found / one.name).unlink(missing_ok=True)
            (found / one.name).symlink_to(one)
    (found / program).unlink()
    (found / "registry").unlink(missing_ok=True)
    words = [*COMMAND, "--plain"]
    done = subprocess.run(
        words, env=environment | {"PATH": str(found)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f"apt-get install {package}" in done.stderr
