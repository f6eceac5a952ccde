"""The Compose runtime on real Docker and real Podman, with a real registry."""

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edgewright.agent.runtimes import Component, Health
from support.compose_component import Bench
from support.engines import Engine
from support.images import Image, RegistryAccess, busybox_image, web_image
from support.testbed import Testbed

KEEPS_RUNNING = "trap 'exit 0' TERM; while :; do sleep 0.2; done"


@pytest.fixture
def bench(engine: Engine, registry: RegistryAccess, tmp_path: Path, unique: str) -> Iterator[Bench]:
    made = Bench(engine=engine, registry=registry, directory=tmp_path, unique=unique)
    yield made
    made.clean()


@pytest.fixture
def web(testbed: Testbed, push_image: Callable[..., str]) -> str:
    """The reference of an image that answers HTTP."""
    return push_image(web_image(Path(testbed.busybox), page="hello"), "web")


@pytest.fixture
def shell(testbed: Testbed, push_image: Callable[..., str]) -> str:
    """The reference of an image with a shell in it."""
    return push_image(busybox_image(Path(testbed.busybox), command=["/bin/sh"]), "shell")


@pytest.mark.requirement("CMP-1", "CMP-2", "S-28")
def test_an_app_of_two_services_is_installed_and_reached(bench: Bench, web: str):
    component = bench.component(
        f"""
        services:
          front: {{image: "{web}", depends_on: [back]}}
          back: {{image: "{web}"}}
        """
    )
    bench.install(component)
    assert bench.get("front", "/").strip() == "hello"
    assert bench.get("back", "/").strip() == "hello"
    observed = bench.runtime().observe()[component.key]
    assert observed.health is Health.RUNNING
    assert observed.revision == component.revision
    assert [(one.service, one.state) for one in observed.containers] == [
        ("back", "running"),
        ("front", "running"),
    ]


@pytest.mark.requirement("AD-7", "OBS-8")
def test_parameters_reach_every_container_and_the_text_of_the_compose_file(bench: Bench, web: str):
    component = bench.component(
        f"""
        services:
          front:
            image: "{web}"
            environment:
              COMPOSED: "http://${{HOST}}:${{PORT:-80}}/"
              HOST: "prefix-${{HOST}}"
              CONSTANT: written
              PASSED:
          back: {{image: "{web}"}}
        """,
        environment={"HOST": "plant.local", "CONSTANT": "parameter", "PASSED": "on"},
    )
    bench.install(component)
    front, back = bench.environment_of("front"), bench.environment_of("back")
    assert front["COMPOSED"] == "http://plant.local:80/"
    assert front["HOST"] == "prefix-plant.local"
    assert front["CONSTANT"] == "parameter"
    assert front["PASSED"] == "on"
    assert {name: back[name] for name in ("HOST", "CONSTANT", "PASSED")} == {
        "HOST": "plant.local",
        "CONSTANT": "parameter",
        "PASSED": "on",
    }


def test_the_same_apply_again_touches_nothing(bench: Bench, shell: str):
    component = bench.component(
        f"""
        services:
          init: {{image: "{shell}", command: [sh, -c, "exit 0"]}}
          main:
            image: "{shell}"
            command: [sh, -c, "{KEEPS_RUNNING}"]
            depends_on: {{init: {{condition: service_completed_successfully}}}}
        """
    )
    bench.install(component)
    before = {name: (one["Id"], one["State"]["StartedAt"]) for name, one in bench.inspect().items()}
    bench.install(component)
    assert {name: (one["Id"], one["State"]["StartedAt"]) for name, one in bench.inspect().items()} == before
    assert bench.runtime().observe()[component.key].health is Health.RUNNING


@pytest.mark.requirement("DS-9")
def test_an_update_keeps_named_volumes_and_recreates_only_what_changed(bench: Bench, web: str):
    def version(text: str) -> str:
        return f"""
        services:
          store: {{image: "{web}", volumes: ["data:/data"]}}
          front: {{image: "{web}", environment: {{TEXT: "{text}"}}}}
        volumes: {{data: {{}}}}
        """

    first = bench.component(version("one"), version="1.0.0")
    bench.install(first)
    bench.get("store", "/cgi-bin/data?kept")
    before = {name: one["Id"] for name, one in bench.inspect().items()}
    second = bench.component(version("two"), version="2.0.0")
    bench.install(second)
    after = {name: one["Id"] for name, one in bench.inspect().items()}
    assert bench.environment_of("front")["TEXT"] == "two"
    assert bench.get("store", "/cgi-bin/data").split() == ["kept"]
    assert after["store"] == before["store"]
    assert after["front"] != before["front"]
    assert bench.runtime().observe()[second.key].revision == second.revision
    bench.install(first)
    assert bench.environment_of("front")["TEXT"] == "one"
    assert bench.get("store", "/cgi-bin/data").split() == ["kept"]


def test_a_service_that_left_the_file_is_removed_by_the_update(bench: Bench, web: str):
    bench.install(bench.component(f'services: {{a: {{image: "{web}"}}, b: {{image: "{web}"}}}}'))
    bench.install(bench.component(f'services: {{a: {{image: "{web}"}}}}', version="2.0.0"))
    assert set(bench.inspect()) == {"a"}


def test_an_image_pushed_anew_under_its_tag_comes_with_the_next_revision(
    bench: Bench, testbed: Testbed, push_image: Callable[..., str]
):
    def page(text: str) -> Image:
        return web_image(Path(testbed.busybox), page=text)

    reference = push_image(page("old"), "site")
    compose = f'services: {{site: {{image: "{reference}"}}}}'
    bench.install(bench.component(compose))
    push_image(page("new"), "site")
    bench.install(bench.component(compose, version="1.0.1"))
    assert bench.get("site", "/").strip() == "new"


@pytest.mark.requirement("CMP-2")
def test_a_health_check_is_waited_for(bench: Bench, shell: str):
    component = bench.component(
        f"""
        services:
          main:
            image: "{shell}"
            command: [sh, -c, "sleep 2; touch /tmp/ready; {KEEPS_RUNNING}"]
            healthcheck: {{test: ["CMD", "test", "-e", "/tmp/ready"], interval: 1s, retries: 20}}
          next:
            image: "{shell}"
            command: [sh, -c, "{KEEPS_RUNNING}"]
            depends_on: {{main: {{condition: service_healthy}}}}
        """
    )
    bench.install(component)
    states = {
        one.service: (one.state, one.health) for one in bench.runtime().observe()[component.key].containers
    }
    assert states == {"main": ("running", "healthy"), "next": ("running", "")}


def test_what_somebody_stopped_or_removed_is_seen_and_put_back(bench: Bench, web: str):
    component = bench.component(f'services: {{a: {{image: "{web}"}}, b: {{image: "{web}"}}}}')
    bench.install(component)
    bench.api.request("POST", f"/containers/{bench.inspect()['a']['Id']}/stop?t=0")
    assert bench.runtime().observe()[component.key].health in (Health.STOPPED, Health.FAILED)
    bench.install(component)
    assert bench.runtime().observe()[component.key].health is Health.RUNNING
    bench.api.request("DELETE", f"/containers/{bench.inspect()['b']['Id']}?force=true")
    observed = bench.runtime().observe()[component.key]
    assert (observed.health, observed.revision) == (Health.MISSING, component.revision)
    bench.install(component)
    assert bench.runtime().observe()[component.key].health is Health.RUNNING


def test_removing_leaves_nothing_behind(bench: Bench, web: str):
    component = bench.component(
        f"""
        services:
          a: {{image: "{web}", volumes: ["data:/data", "/unnamed"]}}
          b: {{image: "{web}", networks: [inner], depends_on: [a]}}
        volumes: {{data: {{}}}}
        networks: {{inner: {{}}}}
        """
    )
    bench.install(component)
    unnamed = [
        mount["Name"] for mount in bench.inspect()["a"]["Mounts"] if mount["Destination"] == "/unnamed"
    ]
    runtime = bench.runtime()
    runtime.remove(*component.key, component.directory)
    assert bench.leftovers() == {"containers": [], "networks": [], "volumes": [], "notes": [], "files": []}
    assert not {volume["Name"] for volume in bench.api.volumes()} & set(unnamed)
    assert runtime.observe() == {}
    runtime.remove(*component.key, component.directory)


def test_removing_needs_no_files(bench: Bench, web: str, tmp_path: Path):
    component = bench.component(
        f'services: {{a: {{image: "{web}", volumes: ["data:/d"]}}}}\nvolumes: {{data: {{}}}}'
    )
    bench.install(component)
    for path in (tmp_path / "compose").iterdir():
        if path.is_file():
            path.unlink()
    runtime = bench.runtime()
    assert runtime.observe()[component.key].revision == ""
    runtime.remove(*component.key)
    assert bench.api.containers(f"io.edgewright.owner={bench.unique}") == []
    assert bench.api.volumes(f"io.edgewright.owner={bench.unique}") == []


def test_foreign_containers_and_projects_are_left_alone(bench: Bench, web: str, shell: str, unique: str):
    api = bench.api
    foreign = {
        "Image": shell,
        "Cmd": ["sh", "-c", KEEPS_RUNNING],
        "Labels": {"com.docker.compose.project": f"other-{unique}", "com.docker.compose.service": "a"},
    }
    api.pull(shell)
    api.request("POST", f"/containers/create?name=foreign-{unique}", foreign)
    try:
        api.request("POST", f"/containers/foreign-{unique}/start")
        component = bench.component(f'services: {{a: {{image: "{web}"}}}}')
        bench.install(component)
        assert set(bench.runtime().observe()) == {component.key}
        neighbour = Bench(
            engine=bench.engine, registry=bench.registry, directory=bench.directory / "n", unique=f"{unique}n"
        )
        assert neighbour.runtime().observe() == {}
        neighbour.clean()
        bench.runtime().remove(*component.key, component.directory)
        assert api.get(f"/containers/foreign-{unique}/json")["State"]["Running"] is True
    finally:
        api.request("DELETE", f"/containers/foreign-{unique}?force=true")


def test_an_external_volume_stays(bench: Bench, web: str, unique: str):
    bench.api.request("POST", "/volumes/create", {"Name": f"shared-{unique}"})
    try:
        component = bench.component(
            f"""
            services: {{a: {{image: "{web}", volumes: ["shared:/data"]}}}}
            volumes: {{shared: {{external: true, name: "shared-{unique}"}}}}
            """
        )
        bench.install(component)
        bench.runtime().remove(*component.key, component.directory)
        assert f"shared-{unique}" in {volume["Name"] for volume in bench.api.volumes()}
    finally:
        bench.api.request("DELETE", f"/volumes/shared-{unique}")


@pytest.mark.requirement("CMP-7")
def test_files_of_the_package_reach_the_containers(bench: Bench, shell: str):
    component = bench.component(
        f"""
        services:
          main:
            image: "{shell}"
            env_file: [settings.env]
            command: [sh, -c, "cat /settings; echo $$(cat /run/secrets/key); {KEEPS_RUNNING}"]
            configs: [{{source: settings, target: /settings}}]
            secrets: [key]
        configs: {{settings: {{file: ./conf/settings.txt}}}}
        secrets: {{key: {{environment: KEY}}}}
        """,
        files={"settings.env": "FROM_FILE=x-${KEY}\n", "conf/settings.txt": "from the package\n"},
        environment={"KEY": "deep"},
    )
    bench.install(component)
    assert bench.environment_of("main")["FROM_FILE"] == "x-deep"
    log = bench.runtime()._engine.logs(bench.inspect()["main"]["Id"], lines=5)
    assert log == "from the package\ndeep"
    resolved = Path(component.directory) / "resolved.json"
    assert resolved.stat().st_mode & 0o777 == 0o600


def test_an_update_brings_new_files_and_needs_the_old_ones_no_more(bench: Bench, shell: str):
    def version(number: str) -> Component:
        compose = f"""
            services:
              main:
                image: "{shell}"
                command: [sh, -c, "cat /file; echo $$(cat /content); {KEEPS_RUNNING}"]
                configs: [{{source: file, target: /file}}, {{source: content, target: /content}}]
            configs:
              file: {{file: ./text}}
              content: {{content: "content {number}"}}
            """
        return bench.component(compose, version=number, files={"text": f"file {number}\n"})

    first, second = version("1.0.0"), version("2.0.0")
    bench.install(first)
    bench.install(second)
    shutil.rmtree(first.directory)
    container = bench.inspect()["main"]["Id"]
    bench.api.request("POST", f"/containers/{container}/restart?t=0")
    log = bench.runtime()._engine.logs(container, lines=2)
    assert log == "file 2.0.0\ncontent 2.0.0"


def test_an_apply_without_a_time_limit_still_ends(bench: Bench, web: str):
    component = bench.component(f'services: {{a: {{image: "{web}"}}}}', timeout=None)
    bench.install(component)
    assert bench.runtime().observe()[component.key].health is Health.RUNNING


def test_the_environment_of_the_agent_steers_nothing(bench: Bench, web: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in {
        "COMPOSE_FILE": "/nonexistent.yaml",
        "COMPOSE_PROJECT_NAME": "hijacked",
        "COMPOSE_PROFILES": "extra",
        "DOCKER_HOST": "tcp://192.0.2.1:1",
        "WHO": "the agent",
    }.items():
        monkeypatch.setenv(name, value)
    component = bench.component(
        f"""
        services:
          a: {{image: "{web}", environment: {{WHO: "${{WHO:-nobody}}"}}}}
          b: {{image: "{web}", profiles: [extra]}}
        """
    )
    bench.install(component)
    assert set(bench.inspect()) == {"a"}
    assert bench.environment_of("a")["WHO"] == "nobody"


def test_parameters_with_dangerous_names_reach_containers_and_steer_nothing(bench: Bench, web: str):
    names = {
        "PATH": "/bin:/extra",
        "HOME": "/nowhere",
        "DOCKER_HOST": "tcp://192.0.2.1:1",
        "DOCKER_CONFIG": "/nonexistent",
        "COMPOSE_PROFILES": "extra",
        "COMPOSE_PROJECT_NAME": "hijacked",
        "COMPOSE_FILE": "/nonexistent.yaml",
        "LD_PRELOAD": "/nonexistent.so",
        "HTTP_PROXY": "http://192.0.2.1:1",
        "with-dash.and.dot": "kept",
    }
    component = bench.component(
        f"""
        services:
          a: {{image: "{web}", environment: {{SEEN: "${{DOCKER_HOST}} ${{PATH}} ${{LD_PRELOAD}}"}}}}
          b: {{image: "{web}", profiles: [extra]}}
        """,
        environment=names,
    )
    bench.install(component)
    assert set(bench.inspect()) == {"a"}
    environment = bench.environment_of("a")
    assert {name: environment[name] for name in names} == names
    assert environment["SEEN"] == "tcp://192.0.2.1:1 /bin:/extra /nonexistent.so"


@pytest.mark.requirement("AD-5")
def test_the_time_limit_is_the_components_own(bench: Bench, shell: str):
    component = bench.component(
        f'services: {{a: {{image: "{shell}", command: [sh, -c, "{KEEPS_RUNNING}"]}}}}',
        timeout=timedelta(minutes=8, seconds=30),
    )
    bench.install(component)
    assert bench.runtime().observe()[component.key].health is Health.RUNNING
