"""The testbed itself: what every other integration test stands on."""

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.engines import Engine, EngineApi, EngineRefusedError
from support.images import Image, RegistryAccess, busybox_image, connect, push, web_image
from support.processes import wait_until
from support.registry import Registry
from support.testbed import VARIABLE, Testbed

TOOL = Path(__file__).parents[2] / "tools" / "testbed.py"


def compose(engine: Engine, folder: Path, project: str, *arguments: str) -> str:
    done = subprocess.run(
        [engine.compose, "--project-name", project, "--project-directory", str(folder), *arguments],
        env=engine.environment | {"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def get(address: str, path: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def published_address(engine: Engine, folder: Path, project: str) -> str:
    return compose(engine, folder, project, "port", "web", "8080").strip().replace("0.0.0.0", "127.0.0.1")


def test_a_compose_project_runs_answers_and_leaves_nothing(
    engine: Engine,
    engine_api: EngineApi,
    testbed: Testbed,
    push_image: Callable[..., str],
    unique: str,
    tmp_path: Path,
):
    reference = push_image(web_image(Path(testbed.busybox), page="first"), "web")
    service = {"image": reference, "environment": {"GREETING": "hello"}, "ports": ["127.0.0.1::8080"]}
    document = {"services": {"web": service | {"volumes": ["data:/data"]}}, "volumes": {"data": {}}}
    (tmp_path / "compose.yaml").write_text(json.dumps(document))

    compose(engine, tmp_path, unique, "up", "--detach", "--quiet-pull")
    address = published_address(engine, tmp_path, unique)

    assert wait_until(lambda: _answer(address, "/"), what="no answer") == "first"
    assert "GREETING=hello" in get(address, "/cgi-bin/environment").splitlines()
    assert get(address, "/cgi-bin/data?kept").strip() == "kept"

    label = f"com.docker.compose.project={unique}"
    assert len(engine_api.containers(label)) == 1
    compose(engine, tmp_path, unique, "down", "--volumes", "--timeout", "1")
    assert engine_api.containers(label) == engine_api.networks(label) == engine_api.volumes(label) == []


def _answer(address: str, path: str) -> str | None:
    try:
        return get(address, path)
    except OSError:
        return None


def test_an_engine_says_why_it_cannot_pull(engine_api: EngineApi, registry: RegistryAccess, unique: str):
    with pytest.raises(EngineRefusedError, match=r"(?i)not found|unknown|404"):
        engine_api.pull(f"{registry.host}/{unique}/nothing:1")


def test_building_an_image_twice_gives_the_same_digest(testbed: Testbed):
    images = [web_image(Path(testbed.busybox), page="same") for _ in range(2)]
    assert images[0] == images[1]


def image_of(testbed: Testbed, unique: str) -> Image:
    return busybox_image(Path(testbed.busybox), command=["true"], labels={"for": unique})


def test_the_secured_registry_wants_its_password(secured_registry: RegistryAccess):
    connection = connect(secured_registry)
    connection.request("GET", "/v2/")
    assert connection.getresponse().status == 401
    connection.close()


def test_an_engine_pulls_from_the_secured_registry_with_the_password_only(
    engine: Engine, engine_api: EngineApi, testbed: Testbed, secured_registry: RegistryAccess, unique: str
):
    if engine.name not in secured_registry.trusted_by:
        pytest.skip(f"the {engine.name} that already ran here does not know the testbed's authority")
    reference = push(image_of(testbed, unique), secured_registry, unique, "1")
    with pytest.raises(EngineRefusedError):
        engine_api.pull(reference)
    engine_api.pull(reference, registry=secured_registry)
    assert engine_api.run(reference, ["true"]) == 0


def test_a_registry_of_ones_own_keeps_port_and_data_over_a_restart(
    own_registry: Registry, testbed: Testbed, unique: str
):
    push(image_of(testbed, unique), own_registry.access, unique, "1")
    host = own_registry.host
    own_registry.stop()
    with pytest.raises(ConnectionRefusedError):
        get(host, "/v2/")
    own_registry.start()
    assert own_registry.host == host
    assert json.loads(get(host, f"/v2/{urllib.parse.quote(unique)}/tags/list"))["tags"] == ["1"]


# --- Coming and going -------------------------------------------------------------------------------

LEAVE_A_CONTAINER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from support.engines import EngineApi
from support.testbed import Testbed
testbed = Testbed.from_environment()
body = {"Image": f"{testbed.registry.host}/testbed/trial:1", "Cmd": ["sleep", "1000"]}
for engine in testbed.engines.values():
    if engine.private:
        api = EngineApi(engine.socket)
        made = json.loads(api.request("POST", "/containers/create", body))
        api.request("POST", f"/containers/{made['Id']}/start")
told = {"pid": testbed.pid, "directory": testbed.directory, "engines": sorted(testbed.engines)}
print(json.dumps(told), flush=True)
sys.stdin.read()
"""


@contextmanager
def own_testbed() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start a testbed of its own, with a running container in each private engine."""
    program = [sys.executable, "-c", LEAVE_A_CONTAINER, str(TOOL.parents[1] / "tests")]
    outside = {name: value for name, value in os.environ.items() if name != VARIABLE}
    with subprocess.Popen(
        [sys.executable, TOOL, "run", "--", *program],
        env=outside,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())


def command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found


@pytest.mark.engine
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_testbed_that_is_ended_leaves_nothing_once_the_next_has_started(testbed: Testbed, number: int):
    with own_testbed() as (process, told):
        assert told["engines"] == sorted(testbed.engines)
        os.kill(told["pid"], number)
        process.wait(timeout=120)
    if number == signal.SIGKILL:
        assert Path(told["directory"]).exists()
        subprocess.run([sys.executable, TOOL, "sweep"], check=True)

    assert not Path(told["directory"]).exists()
    assert told["directory"] not in Path("/proc/self/mountinfo").read_text()
    assert [line for line in command_lines() if told["directory"] in line] == []


def test_the_command_decides_the_exit_code(testbed: Testbed):
    done = subprocess.run([sys.executable, TOOL, "run", "--", "sh", "-c", "exit 7"], check=False)
    assert done.returncode == 7
