"""The main job on real parts: server, agent, mutual TLS, registry, containers on Docker and on Podman.

Whatever a person does here is done by the documented commands.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.engines import Engine
from support.fleet import Application, Device, Fleet
from support.images import RegistryAccess, web_image
from support.processes import wait_until
from support.registry import Registry
from support.server_process import ServerProcess
from support.testbed import Testbed


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path / "server") as server:
        yield server


@pytest.fixture
def fleet(tmp_path: Path, server: ServerProcess) -> Iterator[Fleet]:
    made = Fleet(tmp_path, server)
    yield made
    made.clean()


@pytest.fixture
def device(fleet: Fleet, engine: Engine, unique: str) -> Device:
    return fleet.enroll(unique, engine)


@pytest.fixture
def web(testbed: Testbed, push_image: Callable[..., str]) -> Callable[[str], str]:
    """Push an image whose page is the given text; return its reference."""
    return lambda page: push_image(web_image(Path(testbed.busybox), page=page), page)


def service(image: str, **more: Any) -> dict[str, Any]:
    """Return a service that is reached on a port of the engine's choice."""
    return {"image": image, "ports": ["127.0.0.1::8080"], "stop_grace_period": "0s", **more}


def shop(registry: RegistryAccess, name: str, web: Callable[[str], str], **more: Any) -> Application:
    """Return an application of two components: a back with a volume, and a front."""
    version = more.get("version", "1.0.0")
    back = service(web(f"back-{version}"), volumes=["kept:/data"])
    front = service(web(f"front-{version}"), environment={"TITLE": "written by ${GREETING}"})
    return Application(
        name=name,
        registry=registry,
        components={
            "back": {"services": {"back": back}, "volumes": {"kept": {}}},
            "front": {"services": {"front": front}},
        },
        parameters={
            "greeting": ("hello", "GREETING", ("front",)),
            "limit": (5, "LIMIT", ("back", "front")),
            "verbose": (False, "VERBOSE", ("back",)),
        },
        **more,
    )


def versions(history: list[dict[str, Any]], state: str) -> list[int]:
    """Return the adopted manifest versions of the statuses that said `state`."""
    return [one["adopted_manifest_version"] for one in history if one["state"] == state]


def overall(history: list[dict[str, Any]]) -> list[str]:
    """Return the overall states in order, each run of equal ones once."""
    states = [one["state"] for one in history]
    return [state for index, state in enumerate(states) if index == 0 or states[index - 1] != state]


@pytest.mark.requirement("S-1", "S-2", "S-6", "S-7", "S-8", "S-9", "S-14", "S-17", "S-19", "S-28", "S-31")
@pytest.mark.requirement("AD-3", "AD-7", "CAP-2", "CMP-1", "CMP-3", "CMP-4", "DS-1", "LC-2", "PKG-1")
@pytest.mark.requirement("ST-1", "ST-2", "ST-4", "ST-20", "ST-22", "ST-24", "ST-25")
def test_an_application_is_installed_updated_changed_and_removed(
    fleet: Fleet, device: Device, registry: RegistryAccess, unique: str, web: Callable[[str], str]
):
    fleet.publish(shop(registry, unique, web))
    fleet.publish(shop(registry, unique, web, version="2.0.0"))
    with device.running():
        shown = fleet.ask("device", "list")
        assert [one["client_id"] for one in shown] == [device.name]

        deployment = fleet.deploy(device, f"{unique}@1.0.0", greeting="good; $(morning) 'all'", limit="7")
        fleet.converge(deployment)
        assert device.get(deployment, "front", "/") == "front-1.0.0"
        front, back = (device.environment(deployment, name) for name in ("front", "back"))
        assert (front["GREETING"], front["LIMIT"]) == ("good; $(morning) 'all'", "7")
        assert front["TITLE"] == "written by good; $(morning) 'all'"
        assert (back["LIMIT"], back["VERBOSE"]) == ("7", "false")
        assert "GREETING" not in back
        assert "VERBOSE" not in front

        assert device.get(deployment, "back", "/cgi-bin/data?first") == "first\n"
        fleet.cli("deployment", "change", deployment, "--version", "2.0.0", "--wait")
        assert device.get(deployment, "front", "/") == "front-2.0.0"
        assert device.get(deployment, "back", "/cgi-bin/data?second") == "first\nsecond\n"
        assert device.environment(deployment, "front")["LIMIT"] == "7"

        fleet.cli("deployment", "change", deployment, "--set", "limit=8", "--set", "verbose=true", "--wait")
        back = device.environment(deployment, "back")
        assert (back["LIMIT"], back["VERBOSE"]) == ("8", "true")
        assert device.get(deployment, "back", "/cgi-bin/data") == "first\nsecond\n"

        fleet.cli("deployment", "delete", deployment, "--wait")
        assert device.leftovers(deployment) == []

    history = fleet.history(deployment)
    assert overall(history) == [*["pending", "installing", "installed"] * 3, "removing", "removed"]
    adopted = [one["adopted_manifest_version"] for one in history]
    assert adopted == sorted(adopted)
    installed = versions(history, "installed")
    assert len(set(installed)) == 3
    assert all(version > max(installed) for version in versions(history, "removed"))
    names = {tuple(part["name"] for part in one["components"]) for one in history}
    assert names == {("back", "front")}


@pytest.mark.requirement("S-21", "OFF-1", "S-8")
def test_what_runs_goes_on_without_the_server_and_news_is_taken_up_after_it_is_back(
    fleet: Fleet, device: Device, registry: RegistryAccess, unique: str, web: Callable[[str], str]
):
    fleet.publish(shop(registry, unique, web))
    with device.running():
        deployment = fleet.deploy(device, unique)
        fleet.converge(deployment)
        before = device.containers(deployment)
        fleet.server.kill()
        device.stop()
        device.start()
        assert device.get(deployment, "front", "/") == "front-1.0.0"
        fleet.server.start()
        fleet.cli("deployment", "change", deployment, "--set", "greeting=back again", "--wait")
        assert device.environment(deployment, "front")["GREETING"] == "back again"
        # A change of the front's parameters alone is no reason to touch the back.
        after = device.containers(deployment)
        assert after["back"]["Id"] == before["back"]["Id"]
        fleet.cli("deployment", "delete", deployment, "--wait")
    assert device.leftovers(deployment) == []


def test_an_agent_killed_while_it_installs_goes_on_where_it_stood(
    fleet: Fleet, device: Device, registry: RegistryAccess, unique: str, web: Callable[[str], str]
):
    fleet.publish(shop(registry, unique, web))
    device.start()
    deployment = fleet.deploy(device, unique)
    fleet.wait_for(deployment, "installing")
    device.kill()
    with device.running():
        fleet.converge(deployment)
        assert set(device.containers(deployment)) == {"back", "front"}
        fleet.cli("deployment", "delete", deployment)
        fleet.wait_for(deployment, "removing")
        device.kill()
        device.start()
        fleet.wait_for(deployment, "removed")
    assert device.leftovers(deployment) == []
    adopted = [one["adopted_manifest_version"] for one in fleet.history(deployment)]
    assert adopted == sorted(adopted)


@pytest.mark.requirement("ST-2", "ST-5", "ST-6")
def test_a_registry_that_is_down_is_waited_for(
    fleet: Fleet,
    device: Device,
    own_registry: Registry,
    registry: RegistryAccess,
    unique: str,
    web: Callable[[str], str],
):
    application = shop(registry, unique, web)
    # Components come from a registry of this test's own; images from the shared one.
    fleet.publish(
        Application(
            name=unique,
            registry=own_registry.access,
            components=application.components,
            parameters=application.parameters,
        )
    )
    own_registry.stop()
    with device.running():
        deployment = fleet.deploy(device, unique)
        waiting = fleet.wait_for(deployment, "pending", reason=own_registry.host)
        assert waiting["error"]["code"]
        own_registry.start()
        fleet.converge(deployment)
        fleet.cli("deployment", "delete", deployment, "--wait")
    assert device.leftovers(deployment) == []


@pytest.mark.requirement("ST-3", "ST-5", "ST-6", "CMP-2")
def test_a_service_that_cannot_run_fails_with_its_reason_and_a_right_version_heals_it(
    fleet: Fleet, device: Device, registry: RegistryAccess, unique: str, web: Callable[[str], str]
):
    right = shop(registry, unique, web, version="2.0.0")
    broken = dict(right.components) | {
        "front": {"services": {"front": service(web("front-2.0.0"), command=["sh", "-c", "exit 3"])}}
    }
    fleet.publish(Application(name=unique, registry=registry, components=broken, parameters=right.parameters))
    fleet.publish(right)
    with device.running():
        deployment = fleet.deploy(device, f"{unique}@1.0.0")
        done = fleet.settle(deployment)
        assert done.code == 1
        failed = fleet.history(deployment)[-1]
        assert [part["state"] for part in failed["components"]] == ["installed", "failed"]
        assert failed["error"]["source"]
        reason = failed["components"][1]["error"]["message"]
        assert "front" in reason
        assert "3" in reason
        assert reason in fleet.ask("deployment", "show", deployment).__repr__()

        fleet.cli("deployment", "change", deployment, "--version", "2.0.0", "--wait")
        assert device.get(deployment, "front", "/") == "front-2.0.0"
        fleet.cli("deployment", "delete", deployment, "--wait")
    assert device.leftovers(deployment) == []


def test_an_image_that_is_nowhere_is_told_with_its_name(
    fleet: Fleet, device: Device, registry: RegistryAccess, unique: str
):
    nowhere = f"{registry.host}/{unique}/nowhere:1"
    components = {"only": {"services": {"only": service(nowhere)}}}
    fleet.publish(Application(name=unique, registry=registry, components=components))
    with device.running():
        deployment = fleet.deploy(device, unique)

        def told() -> dict[str, Any] | None:
            found = [one for one in fleet.history(deployment) if nowhere in repr(one)]
            return found[0] if found else None

        status = wait_until(told, what="the image is not named", seconds=60)
        assert status["state"] in {"pending", "failed"}
        fleet.cli("deployment", "delete", deployment, "--wait")
    assert device.leftovers(deployment) == []


@pytest.mark.requirement("API-7")
def test_two_devices_on_one_engine_do_not_touch_each_others_applications(
    fleet: Fleet,
    device: Device,
    engine: Engine,
    registry: RegistryAccess,
    unique: str,
    web: Callable[[str], str],
):
    other = fleet.enroll(f"{unique}-other", engine)
    fleet.publish(shop(registry, unique, web))
    with device.running(), other.running():
        here, there = (fleet.deploy(each, unique, greeting=each.name) for each in (device, other))
        fleet.converge(here)
        fleet.converge(there)
        assert device.environment(here, "front")["GREETING"] == device.name
        assert other.environment(there, "front")["GREETING"] == other.name
        kept = other.containers(there)
        fleet.cli("deployment", "delete", here, "--wait")
        assert device.leftovers(here) == []
        assert {one["Id"] for one in other.containers(there).values()} == {one["Id"] for one in kept.values()}
        fleet.cli("deployment", "delete", there, "--wait")
    assert other.leftovers(there) == []


def test_a_device_without_a_resident_agent_is_kept_right_by_single_turns(
    fleet: Fleet, device: Device, registry: RegistryAccess, unique: str, web: Callable[[str], str]
):
    fleet.publish(shop(registry, unique, web))
    device.sync()
    deployment = fleet.deploy(device, unique)
    device.sync()
    fleet.converge(deployment)
    assert device.get(deployment, "front", "/") == "front-1.0.0"
    fleet.cli("deployment", "delete", deployment)
    device.sync()
    fleet.wait_for(deployment, "removed")
    assert device.leftovers(deployment) == []
