"""New versions that are no good, on real containers: what runs afterwards, and what both sides say about it.

Whatever a person does here is done by the documented commands.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.engines import Engine
from support.fleet import Application, Device, Fleet
from support.images import RegistryAccess, push, web_image
from support.processes import own_environment, wait_until
from support.registry import Registry
from support.server_process import ServerProcess
from support.testbed import Testbed

GOOD, NEW = "1.0.0", "2.0.0"
Break = Callable[[dict[str, Any], str], dict[str, Any]]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with ServerProcess.create(tmp_path / "server") as server:
        made = Fleet(tmp_path, server)
        yield made
        made.clean()


@pytest.fixture
def device(fleet: Fleet, docker_engine: Engine, unique: str) -> Device:
    return fleet.enroll(unique, docker_engine)


@pytest.fixture
def page(testbed: Testbed, push_image: Callable[..., str]) -> Callable[[str], str]:
    """Push an image whose page is the given text; return its reference."""
    return lambda text: push_image(web_image(Path(testbed.busybox), page=text), text)


def one(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return the compose document of the service `app`, with a volume and a port of the engine's choice."""
    usual = {"ports": ["127.0.0.1::8080"], "stop_grace_period": "0s", "volumes": ["kept:/data"]}
    return {"services": {"app": {**usual, **service}}, "volumes": {"kept": {}}}


def application(
    registry: RegistryAccess, name: str, document: Mapping[str, Any], version: str
) -> Application:
    """Return a package of one component that is given three seconds to come up when it is the new one."""
    return Application(
        name=name,
        registry=registry,
        components={"app": document},
        parameters={"greeting": ("hello", "GREETING", ("app",))},
        version=version,
        timeout="1m0s" if version == GOOD else "0m3s",
    )


def install_good(fleet: Fleet, device: Device, registry: RegistryAccess, name: str, image: str) -> str:
    """Install version 1 and let it write something into its volume; return the deployment's id."""
    fleet.publish(application(registry, name, one({"image": image}), GOOD))
    deployment = fleet.deploy(device, f"{name}@{GOOD}", greeting="good")
    fleet.converge(deployment)
    assert device.get(deployment, "app", "/cgi-bin/data?first") == "first\n"
    return deployment


def check_good_runs(device: Device, deployment: str, image_page: str = "good") -> None:
    """Check that version 1 answers with its parameters and its data."""
    assert device.get(deployment, "app", "/") == image_page
    assert device.environment(deployment, "app")["GREETING"] == "good"
    # The page's small web server answers with nothing where its program could not be run at once.
    wait_until(
        lambda: device.get(deployment, "app", "/cgi-bin/data") == "first\n",
        what="its data are the first ones",
    )


def told_by_device(device: Device, deployment: str) -> dict[str, Any]:
    """Return what `agent status` says of the deployment."""
    done = subprocess.run(
        device.agent("status", "--json"),
        capture_output=True,
        text=True,
        env=dict(own_environment()),
        check=False,
    )
    found = json.loads(done.stdout)["deployments"]
    return next(each for each in found if each["id"] == deployment)


BROKEN: Mapping[str, tuple[Break, str, str]] = {
    "an image that is nowhere": (
        lambda service, host: {**service, "image": f"{host}/nowhere/nothing:1"},
        "pending",
        "nowhere/nothing:1",
    ),
    "a service that exits": (
        lambda service, _: {**service, "command": ["sh", "-c", "echo no licence; exit 3"]},
        "failed",
        "no licence",
    ),
    "a service that is unhealthy": (
        lambda service, _: {
            **service,
            "healthcheck": {"test": ["CMD", "false"], "interval": "300ms", "timeout": "1s", "retries": 2},
        },
        "failed",
        "unhealthy",
    ),
    "a service that hangs": (
        lambda service, _: {
            **service,
            "healthcheck": {"test": ["CMD", "sleep", "60"], "interval": "60s", "timeout": "60s"},
        },
        "failed",
        "3",
    ),
    "a compose file that is wrong": (
        # What the author's own check lets pass, for only the device knows what is set there.
        lambda service, _: {**service, "hostname": "${NOBODY_SETS_THIS:?the host has no name}"},
        "failed",
        "the host has no name",
    ),
}
ON_BOTH = ("a service that exits", "a compose file that is wrong")
CASES = [
    pytest.param(name, engine, id=f"{name.replace(' ', '-')}-{engine}", marks=pytest.mark.engine)
    for name in BROKEN
    for engine in (("docker", "podman") if name in ON_BOTH else ("docker",))
]


@pytest.mark.requirement("ST-3", "ST-5", "ST-6", "ST-21", "ST-24", "AD-5", "CMP-2")
@pytest.mark.parametrize(("how", "engine_name"), CASES)
def test_a_new_version_that_is_no_good_leaves_the_old_one_running_with_its_data(
    fleet: Fleet,
    request: pytest.FixtureRequest,
    registry: RegistryAccess,
    unique: str,
    page: Callable[[str], str],
    how: str,
    engine_name: str,
):
    device = fleet.enroll(unique, request.getfixturevalue(f"{engine_name}_engine"))
    break_it, state, reason = BROKEN[how]
    with device.running():
        deployment = install_good(fleet, device, registry, unique, page("good"))
        before = device.containers(deployment)["app"]["Id"]
        bad = one(break_it({"image": page("bad")}, f"{registry.host}/{unique}"))
        fleet.publish(application(registry, unique, bad, NEW))
        fleet.cli("deployment", "change", deployment, "--version", NEW, "--set", "greeting=bad")
        if state == "pending":
            status = fleet.wait_for(deployment, state, reason=reason)
            assert device.containers(deployment)["app"]["Id"] == before, "it was never touched"
        else:
            status = fleet.wait_for(
                deployment, state, reason="is running again" if how_began(how) else "is still"
            )
            assert reason in json.dumps(status, ensure_ascii=False)
            assert f"app {GOOD}" in status["error"]["message"]
        check_good_runs(device, deployment)
        assert (device.containers(deployment)["app"]["Id"] == before) is not how_began(how)

        shown = fleet.ask("deployment", "show", deployment)
        assert json.dumps(status["error"]["message"]) in json.dumps(shown)
        here = told_by_device(device, deployment)
        assert here["state"] == state
        assert here["error"].endswith(status["error"]["message"])

        fleet.cli("deployment", "change", deployment, "--version", GOOD, "--set", "greeting=good", "--wait")
        check_good_runs(device, deployment)
        fleet.cli("deployment", "delete", deployment, "--wait")
    assert device.leftovers(deployment) == []


def how_began(how: str) -> bool:
    """Whether the old version was replaced before it turned out that the new one is no good."""
    return how.startswith("a service")


@pytest.mark.requirement("S-21", "S-28", "OFF-1")
def test_after_a_reboot_without_server_and_registry_everything_comes_back_with_its_data(
    fleet: Fleet,
    device: Device,
    own_registry: Registry,
    testbed: Testbed,
    unique: str,
):
    image = web_image(Path(testbed.busybox), page="good")
    reference = push(image, own_registry.access, f"{unique}/web", "1")
    with device.running():
        deployment = install_good(fleet, device, own_registry.access, unique, reference)
        reported = fleet.history(deployment)
    fleet.server.kill()
    own_registry.stop()
    stopped = device.containers(deployment)["app"]["Id"]
    device.api.request("POST", f"/containers/{stopped}/stop?t=0")
    assert device.containers(deployment) == {}
    with device.running():
        wait_until(lambda: device.containers(deployment), what="nothing came back", seconds=60)
        check_good_runs(device, deployment)
        fleet.server.start()
        own_registry.start()
        fleet.cli("deployment", "delete", deployment, "--wait")
    assert [each["state"] for each in reported][-1] == "installed"
    assert device.leftovers(deployment) == []


@pytest.mark.parametrize("copies", [True, False], ids=["with a copy of its volumes", "as volumes are"])
def test_what_a_failed_version_did_to_the_data_is_undone_where_that_is_asked_for(
    fleet: Fleet,
    device: Device,
    registry: RegistryAccess,
    testbed: Testbed,
    push_image: Callable[..., str],
    unique: str,
    page: Callable[[str], str],
    copies: bool,
):
    script = "echo spoilt >>/data/log; exit 4"
    spoiler = push_image(web_image(Path(testbed.busybox), page="bad", script=script), "spoiler")
    with device.running():
        deployment = install_good(fleet, device, registry, unique, page("good"))
        bad = application(registry, unique, one({"image": spoiler}), NEW)
        fleet.publish(replace(bad, snapshot=copies))
        fleet.cli("deployment", "change", deployment, "--version", NEW)
        fleet.wait_for(deployment, "failed", reason="is running again")
        expected = "first\n" if copies else "first\nspoilt\n"
        assert device.get(deployment, "app", "/cgi-bin/data") == expected
        fleet.cli("deployment", "delete", deployment, "--wait")
    assert device.leftovers(deployment) == []
