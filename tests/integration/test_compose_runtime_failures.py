"""What goes wrong with Compose components: each failure is ours, names the thing, and leaves a way out."""

import dataclasses
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from edgewright.agent.runtimes import (
    ApplyError,
    ApplyTimeoutError,
    Component,
    ComponentError,
    ComponentInvalidError,
    EngineError,
    FetchedWrongError,
    FetchError,
    Health,
    OccupiedError,
    ProgramKilledError,
    StorageError,
)
from edgewright.agent.runtimes.compose import ComposeRuntime
from edgewright.agent.runtimes.compose_program import find_compose_program
from edgewright.agent.runtimes.compose_project import project_name
from edgewright.agent.runtimes.engine import Engine as EngineClient
from edgewright.agent.runtimes.engine import find_engine
from edgewright.net.registries import Registries
from edgewright.protocol.archive import pack_directory_entries
from edgewright.protocol.oci import compose_layer, compose_manifest
from support.compose_component import Bench, publish, settings_of
from support.engines import Engine, EngineApi
from support.images import RegistryAccess, busybox_image, digest_of, push, web_image
from support.processes import wait_until
from support.proxies import Proxy
from support.registry import Registry
from support.testbed import Testbed

KEEPS_RUNNING = "trap 'exit 0' TERM; while :; do sleep 0.2; done"


@pytest.fixture
def bench(engine: Engine, registry: RegistryAccess, tmp_path: Path, unique: str) -> Iterator[Bench]:
    made = Bench(engine=engine, registry=registry, directory=tmp_path, unique=unique)
    yield made
    made.clean()


@pytest.fixture
def shell(testbed: Testbed, push_image: Callable[..., str]) -> str:
    return push_image(busybox_image(Path(testbed.busybox), command=["/bin/sh"]), "shell")


def failing(
    bench: Bench, component_error: type[ComponentError], compose: str, **options: object
) -> ComponentError:
    """Install `compose`; return the error it failed with."""
    with pytest.raises(component_error) as caught:
        bench.install(bench.component(compose, **options))  # type: ignore[arg-type]
    assert caught.value.component == "app"
    return caught.value


@pytest.mark.parametrize(
    ("step", "how", "error"),
    [
        pytest.param("config", "kill -9 $$", ProgramKilledError, id="killed while it reads"),
        pytest.param("up", "kill -9 $$", ProgramKilledError, id="killed while it starts"),
        pytest.param("up", "echo error during connect: EOF >&2; exit 1", EngineError, id="engine restarted"),
    ],
)
def test_a_compose_program_that_could_not_finish_is_no_verdict_on_the_component(
    bench: Bench, shell: str, tmp_path: Path, step: str, how: str, error: type[EngineError]
):
    real, killed = bench.engine, tmp_path / "killed"
    killed.write_text(
        f'#!/bin/sh\ncase " $* " in *" {step} "*) kill -9 $$;; esac\nexec {real.compose} "$@"\n'
    )
    killed.chmod(0o755)
    component = bench.component(
        f'services: {{a: {{image: "{shell}", command: [sh, -c, "{KEEPS_RUNNING}"]}}}}'
    )
    bench.engine = dataclasses.replace(real, compose=str(killed))
    with pytest.raises(error) as caught:
        bench.install(component)
    assert caught.value.retryable
    assert caught.value.component == "app"
    bench.engine = real
    bench.install(component)
    assert set(bench.inspect()) == {"a"}


@pytest.mark.parametrize("goes", [True, False], ids=["restarted", "there all the time"])
def test_an_engine_that_was_restarted_meanwhile_is_told_from_one_that_refuses(
    bench: Bench, shell: str, tmp_path: Path, goes: bool
):
    real, program, begun = bench.engine, tmp_path / "program", tmp_path / "begun"
    refuses = f'touch {begun}; while [ -e {begun} ]; do sleep 0.1; done; echo "it is closing" >&2; exit 1'
    program.write_text(f'#!/bin/sh\ncase " $* " in *" up "*) {refuses};; esac\nexec {real.compose} "$@"\n')
    program.chmod(0o755)
    component = bench.component(f'services: {{a: {{image: "{shell}", command: ["true"]}}}}')
    with tempfile.TemporaryDirectory(prefix="ew-") as short, Proxy(real.socket, f"{short}/engine") as way:
        bench.engine = dataclasses.replace(real, compose=str(program), socket=way.address)
        runtime = bench.runtime()
        bench.engine = real
        runtime.fetch(component)

        def restart() -> None:
            wait_until(begun.exists, what="it is being started")
            if goes:
                way.gone()
                way.back()
            begun.unlink()

        thread = threading.Thread(target=restart)
        thread.start()
        with pytest.raises(ComponentError) as caught:
            runtime.apply(component)
        thread.join()
        runtime.close()
    assert "it is closing" in str(caught.value)
    assert isinstance(caught.value, EngineError) is goes
    assert isinstance(caught.value, ApplyError) is not goes


# --- coming up ------------------------------------------------------------------------------------------


@pytest.mark.requirement("CMP-2")
def test_a_service_that_ends_non_zero_is_named_with_its_last_words(bench: Bench, shell: str):
    error = failing(
        bench,
        ApplyError,
        f"""
        services:
          good: {{image: "{shell}", command: [sh, -c, "{KEEPS_RUNNING}"]}}
          bad: {{image: "{shell}", command: [sh, -c, "echo first; echo no database >&2; exit 3"]}}
        """,
    )
    assert "service bad ended with exit code 3" in str(error)
    # Two streams of one process: in which order the engine gives them back is its own affair.
    assert str(error).endswith(("first\nno database", "no database\nfirst"))
    assert not error.retryable


@pytest.mark.requirement("CMP-2")
def test_a_failed_one_shot_service_is_named_and_its_dependent_is_not_started(bench: Bench, shell: str):
    error = failing(
        bench,
        ApplyError,
        f"""
        services:
          init: {{image: "{shell}", command: [sh, -c, "echo cannot migrate; exit 4"]}}
          main:
            image: "{shell}"
            command: [sh, -c, "{KEEPS_RUNNING}"]
            depends_on: {{init: {{condition: service_completed_successfully}}}}
        """,
    )
    assert "service init ended with exit code 4" in str(error)
    assert "cannot migrate" in str(error)
    assert bench.inspect()["main"]["State"]["Running"] is False


@pytest.mark.requirement("CMP-2")
def test_a_service_that_crashes_again_and_again_fails_though_it_is_restarted(bench: Bench, shell: str):
    error = failing(
        bench,
        ApplyError,
        f"""
        services:
          loop: {{image: "{shell}", restart: always, command: [sh, -c, "echo boom; sleep 0.3; exit 1"]}}
        """,
    )
    assert "service loop" in str(error)
    assert "boom" in str(error)


@pytest.mark.requirement("CMP-2")
def test_an_unhealthy_service_fails(bench: Bench, shell: str):
    error = failing(
        bench,
        ApplyError,
        f"""
        services:
          ill:
            image: "{shell}"
            command: [sh, -c, "{KEEPS_RUNNING}"]
            healthcheck: {{test: ["CMD", "false"], interval: 1s, retries: 2}}
        """,
    )
    assert "service ill is unhealthy" in str(error)


@pytest.mark.requirement("AD-5")
def test_what_is_not_up_in_time_fails_and_says_what_was_waited_for(bench: Bench, shell: str):
    error = failing(
        bench,
        ApplyTimeoutError,
        f"""
        services:
          slow:
            image: "{shell}"
            command: [sh, -c, "{KEEPS_RUNNING}"]
            healthcheck: {{test: ["CMD", "false"], interval: 1s, retries: 1000}}
        """,
        timeout=timedelta(seconds=8),
    )
    assert "not up within 8 s: service slow is not healthy yet" in str(error)


@pytest.mark.requirement("AD-5")
def test_the_time_limit_also_ends_waiting_for_another_service(bench: Bench, shell: str):
    error = failing(
        bench,
        ApplyTimeoutError,
        f"""
        services:
          slow: {{image: "{shell}", command: [sh, -c, "sleep 100"]}}
          main:
            image: "{shell}"
            command: [sh, -c, "{KEEPS_RUNNING}"]
            depends_on: {{slow: {{condition: service_completed_successfully}}}}
        """,
        timeout=timedelta(seconds=7),
    )
    assert "not up within 7 s" in str(error)
    assert "service main is created" in str(error)


def test_a_failed_update_can_be_followed_by_the_version_before(bench: Bench, shell: str):
    good = bench.component(f'services: {{a: {{image: "{shell}", command: [sh, -c, "{KEEPS_RUNNING}"]}}}}')
    bench.install(good)
    failing(
        bench,
        ApplyError,
        f'services: {{a: {{image: "{shell}", command: [sh, -c, "exit 1"]}}}}',
        version="2.0.0",
    )
    observed = bench.runtime().observe()[good.key]
    assert (observed.health, observed.revision == good.revision) == (Health.FAILED, False)
    bench.install(good)
    observed = bench.runtime().observe()[good.key]
    assert (observed.health, observed.revision) == (Health.RUNNING, good.revision)


def test_a_port_that_is_taken_is_said_to_be(bench: Bench, shell: str):
    with socket_in_use() as port:
        error = failing(
            bench,
            ApplyError,
            f"""
            services:
              a: {{image: "{shell}", command: [sh, -c, "{KEEPS_RUNNING}"], ports: ["{port}:80"]}}
            """,
        )
    assert str(port) in str(error)
    assert "in use" in str(error) or "already allocated" in str(error)


@contextmanager
def socket_in_use() -> Iterator[int]:
    import socket

    with socket.create_server(("0.0.0.0", 0)) as listening:
        yield listening.getsockname()[1]


# --- fetching -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compose", "words"),
    [
        pytest.param("services: [", "yaml", id="no YAML"),
        pytest.param("services: {a: {imagee: x}}", "imagee", id="a key that Compose does not know"),
        pytest.param("services: {}", "service", id="no service"),
        pytest.param("services: {a: {build: .}}", "no image", id="only build instructions"),
        pytest.param(
            "services: {a: {image: 'x:${TAG:?no tag given}'}}", "no tag given", id="a missing variable"
        ),
        pytest.param("services: {a: {image: x, env_file: [gone.env]}}", "gone.env", id="a missing env_file"),
        pytest.param("services: {a: {image: x, env_file: /etc/passwd}}", "not in", id="somebody else's file"),
    ],
)
def test_a_compose_file_that_cannot_run_is_refused_before_anything_starts(
    docker_engine: Engine, registry: RegistryAccess, tmp_path: Path, unique: str, compose: str, words: str
):
    bench = Bench(engine=docker_engine, registry=registry, directory=tmp_path, unique=unique)
    error = failing(bench, ComponentInvalidError, compose)
    assert words in str(error)
    assert "compose.yaml" in str(error)
    assert error.code == "component.invalid"
    assert not error.retryable
    assert bench.inspect() == {}
    bench.clean()


def test_a_missing_image_is_named_with_its_service(bench: Bench):
    image = f"{bench.registry.host}/{bench.unique}/nowhere:1"
    error = failing(bench, FetchError, f'services: {{a: {{image: "{image}"}}}}')
    assert f"service a: image {image}" in str(error)
    assert "unknown" in str(error)
    assert error.retryable


def test_a_missing_version_is_named(bench: Bench, shell: str):
    there = bench.component(f'services: {{a: {{image: "{shell}"}}}}')
    with pytest.raises(FetchError, match=r"registry .*: .*/app 9\.9\.9: 404 manifest unknown"):
        bench.install(bench.wanted(there.repository, version="9.9.9"))


def test_a_registry_that_is_down_is_named_and_what_is_here_needs_none(
    bench: Bench, own_registry: Registry, testbed: Testbed
):
    push(web_image(Path(testbed.busybox)), RegistryAccess(host=own_registry.host), "web", "1")
    bench.registry = own_registry.access
    if bench.engine.name == "podman":
        # Podman has been told of one registry without TLS only; the image comes from there.
        image = f"{testbed.registry.host}/{bench.unique}/web:1"
        push(web_image(Path(testbed.busybox)), testbed.registry, f"{bench.unique}/web", "1")
    else:
        image = f"{own_registry.host}/web:1"
    component = bench.component(f'services: {{a: {{image: "{image}"}}}}')
    runtime = bench.runtime()
    runtime.fetch(component)
    own_registry.stop()
    with pytest.raises(
        FetchError, match=rf"registry {own_registry.host}: connection refused; is it running\?"
    ):
        runtime.fetch(bench.wanted(component.repository, version="2.0.0"))
    bench.install(component)
    assert bench.runtime().observe()[component.key].health is Health.RUNNING


def test_an_image_already_here_is_good_enough_while_its_registry_is_down(
    docker_engine: Engine,
    registry: RegistryAccess,
    own_registry: Registry,
    testbed: Testbed,
    tmp_path: Path,
    unique: str,
):
    push(web_image(Path(testbed.busybox)), own_registry.access, f"{unique}/web", "1")
    bench = Bench(engine=docker_engine, registry=registry, directory=tmp_path, unique=unique)
    compose = f'services: {{a: {{image: "{own_registry.host}/{unique}/web:1"}}}}'
    bench.install(bench.component(compose))
    own_registry.stop()
    second = bench.component(compose, version="2.0.0")
    bench.install(second)
    assert bench.runtime().observe()[second.key].revision == second.revision
    bench.clean()


class QuietServer(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that hangs up is what some of the tests are about."""


class HostileRegistry:
    """A registry that answers what it was told to: `answers` maps path to (status, headers, body)."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {"/v2/": (200, {}, b"{}")}
        answers = self.answers

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, headers, body = answers.get(self.path, (404, {}, b"{}"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"

    def serve(
        self, archive: bytes, *, real_archive: bytes | None = None, manifest: bytes | None = None
    ) -> str:
        """Serve `archive` as the blob of the component whose manifest names `real_archive`."""
        layer = compose_layer(real_archive or archive, version="1.0.0")
        self.answers["/v2/evil/manifests/1.0.0"] = (200, {}, manifest or compose_manifest(layer))
        self.answers[f"/v2/evil/blobs/{layer.digest}"] = (200, {}, archive)
        return f"oci://{self.host}/evil"


@pytest.fixture
def hostile() -> Iterator[HostileRegistry]:
    made = HostileRegistry()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def docker_bench(
    docker_engine: Engine, registry: RegistryAccess, tmp_path: Path, unique: str
) -> Iterator[Bench]:
    made = Bench(engine=docker_engine, registry=registry, directory=tmp_path, unique=unique)
    yield made
    made.clean()


def archive_of(compose: str) -> bytes:
    return pack_directory_entries({"c/compose.yaml": (compose.encode(), 0o644)})


@pytest.mark.requirement("CMP-11")
def test_a_tampered_archive_is_refused_before_it_is_unpacked(docker_bench: Bench, hostile: HostileRegistry):
    real, tampered = archive_of("services: {a: {image: good}}"), archive_of("services: {a: {image: evil}}")
    component = docker_bench.wanted(hostile.serve(tampered, real_archive=real))
    with pytest.raises(FetchedWrongError) as caught:
        docker_bench.install(component)
    assert digest_of(real) in str(caught.value)
    assert digest_of(tampered) in str(caught.value)
    assert caught.value.code == "fetch.digest-mismatch"
    assert not (Path(component.directory) / "project").exists()


@pytest.mark.requirement("CMP-9")
def test_a_hostile_archive_is_refused_and_writes_nothing(
    docker_bench: Bench, hostile: HostileRegistry, tmp_path: Path
):
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in (("c/compose.yaml", b"services: {}"), ("c/../../escaped", b"x")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    with pytest.raises(ComponentInvalidError, match="escaped"):
        docker_bench.install(docker_bench.wanted(hostile.serve(buffer.getvalue())))
    assert list(tmp_path.rglob("escaped")) == []


def test_an_artefact_of_another_kind_is_refused(docker_bench: Bench, hostile: HostileRegistry):
    archive = archive_of("services: {}")
    manifest = json.loads(compose_manifest(compose_layer(archive, version="1.0.0")))
    manifest["artifactType"] = "application/vnd.cncf.helm.config.v1+json"
    repository = hostile.serve(archive, manifest=json.dumps(manifest).encode())
    with pytest.raises(ComponentInvalidError, match=r"artifactType: expected application/vnd\.org\.margo"):
        docker_bench.install(docker_bench.wanted(repository))


@pytest.mark.requirement("CMP-3")
def test_an_artefact_that_names_no_type_is_taken_by_its_layer(
    docker_bench: Bench, hostile: HostileRegistry, shell: str
):
    archive = archive_of(f'services: {{a: {{image: "{shell}", command: [sh, -c, "{KEEPS_RUNNING}"]}}}}')
    manifest = json.loads(compose_manifest(compose_layer(archive, version="1.0.0")))
    del manifest["artifactType"]
    del manifest["layers"][0]["annotations"]
    component = docker_bench.wanted(hostile.serve(archive, manifest=json.dumps(manifest).encode()))
    docker_bench.install(component)
    assert docker_bench.runtime().observe()[component.key].health is Health.RUNNING


def test_images_of_a_registry_with_tls_and_password_are_pulled_with_its_settings(
    engine: Engine, secured_registry: RegistryAccess, testbed: Testbed, tmp_path: Path, unique: str
):
    if engine.name not in secured_registry.trusted_by:
        pytest.skip("this engine was not started for the tests and does not trust their authority")
    push(web_image(Path(testbed.busybox), page=unique), secured_registry, f"{unique}/web", "1")
    image = f"{secured_registry.host}/{unique}/web:1"
    bench = Bench(engine=engine, registry=secured_registry, directory=tmp_path, unique=unique)
    component = bench.component(f'services: {{a: {{image: "{image}"}}}}')
    with pytest.raises(FetchError, match=r"wants credentials|certificate was refused"):
        bench.install(component)
    bench.registries = Registries({secured_registry.host: settings_of(secured_registry)})
    bench.install(component)
    assert bench.get("a", "/").strip() == unique
    secret = secured_registry.password or ""
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]
    bench.clean()


def test_a_disk_that_refuses_is_named(docker_bench: Bench, shell: str, tmp_path: Path):
    component = docker_bench.component(f'services: {{a: {{image: "{shell}"}}}}')
    (tmp_path / "projects").write_text("in the way")
    with pytest.raises(StorageError, match=r"projects/.*: Not a directory") as caught:
        docker_bench.install(component)
    assert (caught.value.component, caught.value.retryable) == ("app", True)
    (tmp_path / "projects").unlink()


# --- engine and program ---------------------------------------------------------------------------------


def test_an_engine_that_is_not_there_is_named_with_the_way_out(tmp_path: Path):
    with pytest.raises(EngineError) as caught:
        find_engine(str(tmp_path / "none.sock"), {})
    assert f"{tmp_path}/none.sock: no such socket; is it running?" in str(caught.value)
    assert "agent.yaml" in str(caught.value)
    assert caught.value.retryable


def test_an_engine_that_goes_away_is_an_engine_error(docker_engine: Engine, tmp_path: Path):
    program = find_compose_program(docker_engine.compose, {})
    runtime = ComposeRuntime(
        EngineClient(str(tmp_path / "gone.sock")), program, directory=str(tmp_path / "c"), owner="x"
    )
    with pytest.raises(EngineError, match="no such socket"):
        runtime.observe()
    with pytest.raises(EngineError, match="no such socket"):
        runtime.remove("d", "c")
    runtime.close()


def test_a_compose_program_that_is_not_one_is_named(tmp_path: Path):
    with pytest.raises(EngineError, match=r"/bin/true: version unknown"):
        find_compose_program("/bin/true", {})
    with pytest.raises(EngineError, match="No such file"):
        find_compose_program(str(tmp_path / "none"), {})


# --- killed in the middle -------------------------------------------------------------------------------


APPLY = """
import sys
sys.path[:0] = sys.argv[1:3]
from support.compose_component import Bench
from support.testbed import Testbed
from pathlib import Path
bed = Testbed.from_environment()
engine, directory, unique = bed.engines[sys.argv[3]], Path(sys.argv[4]), sys.argv[5]
bench = Bench(engine=engine, registry=bed.registry, directory=directory, unique=unique)
component = bench.wanted(sys.argv[6], environment={"A": sys.argv[7]}, content=None)
runtime = bench.runtime()
runtime.fetch(component)
print("fetched", flush=True)
runtime.apply(component)
print("applied", flush=True)
"""


@pytest.mark.parametrize("delay", [0.05, 0.3, 0.7])
def test_an_apply_that_was_killed_is_finished_by_the_next_round(bench: Bench, shell: str, delay: float):
    service = {"image": shell, "command": ["sh", "-c", KEEPS_RUNNING], "stop_grace_period": "0s"}
    compose = json.dumps({"services": dict.fromkeys("abc", service)})
    repository = publish(bench.registry, f"{bench.unique}/app", "1.0.0", {"compose.yaml": compose})
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", APPLY, str(root / "tests"), str(root / "src"), bench.engine.name]
    command += [str(bench.directory), bench.unique, repository, "killed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"fetched\n"
        # Not a wait for something to happen: where exactly the kill strikes is meant to vary.
        threading.Event().wait(delay * random.uniform(0.5, 1.5))
        os.killpg(process.pid, signal.SIGKILL)
    component = bench.wanted(repository, environment={"A": "killed"}, content=None)
    bench.install(component)
    observed = bench.runtime().observe()[component.key]
    assert (observed.health, observed.revision) == (Health.RUNNING, component.revision)
    assert sorted(bench.inspect()) == ["a", "b", "c"]
    bench.runtime().remove(*component.key, component.directory)
    assert not any(bench.leftovers().values())


@pytest.mark.engine
def test_podmans_debris_is_cleared_out_of_the_way(
    podman_engine: Engine, registry: RegistryAccess, tmp_path: Path, unique: str, shell: str
):
    bench = Bench(engine=podman_engine, registry=registry, directory=tmp_path, unique=unique)
    component = bench.component(
        f'services: {{a: {{image: "{shell}", command: [sh, -c, "{KEEPS_RUNNING}"]}}}}'
    )
    bench.runtime().fetch(component)
    api = EngineApi(podman_engine.socket)
    taken = f"{project_name(*component.key)}-a-1"
    api.request("POST", f"/containers/create?name={taken}", {"Image": shell, "Cmd": ["true"]})
    bench.install(component)
    assert bench.runtime().observe()[component.key].health is Health.RUNNING
    bench.clean()


def test_a_container_that_was_to_take_anothers_place_when_the_engine_was_killed_is_cleared_out_of_the_way(
    bench: Bench, shell: str
):
    def component(word: str) -> Component:
        service = {"image": shell, "command": ["sh", "-c", KEEPS_RUNNING], "environment": {"WORD": word}}
        return bench.component(json.dumps({"services": {"a": service}}), version=word)

    first, second = component("1.0.0"), component("2.0.0")
    bench.install(first)
    api, old = EngineApi(bench.engine.socket), bench.inspect()["a"]["Id"]
    half_made = f"{old[:12]}_{project_name(*first.key)}-a-1"
    api.request("POST", f"/containers/create?name={half_made}", {"Image": shell, "Cmd": ["true"]})
    bench.install(second)
    assert bench.environment_of("a")["WORD"] == "2.0.0"
    assert bench.runtime().observe()[second.key].health is Health.RUNNING
    bench.runtime().remove(*second.key, second.directory)
    names = [name for one in api.get("/containers/json?all=true") for name in one["Names"]]
    assert not any(project_name(*first.key) in name for name in names)


def test_a_port_that_another_component_holds_is_free_once_that_is_stopped(bench: Bench, shell: str):
    def component(name: str, port: str) -> Component:
        service = {"image": shell, "command": ["sh", "-c", KEEPS_RUNNING], "ports": [f"127.0.0.1:{port}:80"]}
        return bench.component(json.dumps({"services": {name: service}}), name=name)

    one = component("one", "")
    bench.install(one)
    port = bench.inspect()["one"]["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    other = component("other", port)
    runtime = bench.runtime()
    runtime.fetch(other)
    with pytest.raises(OccupiedError) as caught:
        runtime.apply(other)
    assert port in str(caught.value)
    runtime.stop(*one.key)
    assert runtime.observe()[one.key].health is not Health.RUNNING
    runtime.apply(other)
    runtime.verify(other)
    assert runtime.observe()[other.key].health is Health.RUNNING


# --- values ---------------------------------------------------------------------------------------------


NASTY = {
    "SINGLE": "it's",
    "DOUBLE": 'say "hi"',
    "DOLLAR": "$HOME ${HOME} $$ $",
    "DOLLAR_BRACE": "${UNDEFINED:?error}",
    "BACKSLASH": "C:\\new\\table\\",
    "BACKSLASH_QUOTE": '\\"',
    "NEWLINE": "one\ntwo\n\nfour\n",
    "RETURN": "a\r\nb",
    "TAB": "a\tb",
    "HASH": "a #b # c",
    "EQUALS": "a=b=c",
    "SPACES": "  leading and trailing  ",
    "EMPTY": "",
    "UNICODE": "größe 温度 🚀 \u2028 \u0085 \ufeff",
    "YAML": "{a: [1, 2], b: *x, !!python: &y} - ? |",
    "PERCENT": "100% %s %d",
    "BACKTICK": "`id` $(id)",
    "LOOKS_ESCAPED": "\\n \\t \\x41 \\u0041 \\$ \\\\",
    "CONTROL": "a\x01b\x1bc\x7f",
    "NUMBER": "0123",
    "BOOL": "yes",
    "NULLISH": "null",
    "LONG": "x" * 60_000,
}


@pytest.mark.requirement("AD-7")
def test_values_of_any_kind_arrive_unchanged_by_injection_and_by_interpolation(bench: Bench, shell: str):
    generator = random.Random(20261123)
    alphabet = "ab$\"'\\{}#=: \n\t`%&*!|>?-[],~@üé温🚀"
    values = NASTY | {
        f"RANDOM_{number}": "".join(generator.choices(alphabet, k=generator.randint(1, 30)))
        for number in range(60)
    }
    composed = {f"SEEN_{name}": f"<${{{name}}}>" for name in values if name != "CONTROL"}
    component = bench.component(
        json.dumps(
            {"services": {"a": {"image": shell, "command": ["sleep", "1000"], "environment": composed}}}
        ),
        environment=values,
    )
    bench.install(component)
    environment = bench.environment_of("a")
    assert {name: environment[name] for name in values} == values
    assert {name: environment[f"SEEN_{name}"] for name in values if name != "CONTROL"} == {
        name: f"<{value}>" for name, value in values.items() if name != "CONTROL"
    }
