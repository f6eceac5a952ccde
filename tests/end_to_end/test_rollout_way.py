"""Rollouts over real agents and containers: step by step, taken back where the new version is no good."""

import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.engines import Engine
from support.fleet import SETTLED_SECONDS, Application, Device, Fleet
from support.images import RegistryAccess, web_image
from support.processes import wait_until
from support.server_process import ServerProcess
from support.testbed import Testbed

GOOD, NEWER, BROKEN = "1.0.0", "2.0.0", "3.0.0"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with ServerProcess.create(tmp_path / "server") as server:
        made = Fleet(tmp_path, server)
        yield made
        made.clean()


@pytest.fixture
def devices(fleet: Fleet, docker_engine: Engine, unique: str) -> Iterator[dict[str, Device]]:
    """Three devices whose agents run and have reported themselves."""
    found = {name: fleet.enroll(name, docker_engine) for name in (f"{unique}-{each}" for each in "abc")}
    for device in found.values():
        device.start()
    for name in found:
        wait_until(
            lambda: fleet.server.operator.get(f"/devices/{name}")["devices"],  # noqa: B023
            what=f"{name} did not report its capabilities",
        )
    yield found
    for one in fleet.server.operator.get("/deployments?removed=true")["items"]:
        found[one["device"]].stop()
        found[one["device"]].clean(one["id"])


@pytest.fixture
def page(testbed: Testbed, push_image: Callable[..., str]) -> Callable[[str], str]:
    """Push an image whose page is the given text; return its reference."""
    return lambda text: push_image(web_image(Path(testbed.busybox), page=text), text)


def publish(
    fleet: Fleet, registry: RegistryAccess, name: str, version: str, service: Mapping[str, Any]
) -> None:
    usual = {"ports": ["127.0.0.1::8080"], "stop_grace_period": "0s"}
    document = {"services": {"app": {**usual, **service}}}
    fleet.publish(
        Application(
            name=name,
            registry=registry,
            components={"app": document},
            parameters={"greeting": ("hello", "GREETING", ("app",))},
            version=version,
            timeout="1m0s" if version != BROKEN else "0m3s",
        )
    )


def put(fleet: Fleet, name: str, version: str, devices: Mapping[str, Device], **strategy: Any) -> str:
    """Have all devices have a version; return the rollout's id."""
    body = {
        "application": name,
        "version": version,
        "target": {"devices": sorted(devices)},
        "strategy": strategy,
    }
    fleet.server.operator.put(f"/assignments/{name}", body)
    return newest(fleet, name)["id"]


def newest(fleet: Fleet, name: str) -> Any:
    return fleet.server.operator.get(f"/rollouts?assignment={name}")["items"][0]


def until(fleet: Fleet, rollout: str, state: str) -> Any:
    def look() -> Any:
        shown = fleet.server.operator.get(f"/rollouts/{rollout}")
        return shown if shown["state"] == state else None

    return wait_until(look, what=f"the rollout is not {state}", seconds=SETTLED_SECONDS)


def pages(fleet: Fleet, devices: Mapping[str, Device]) -> dict[str, str]:
    """Return the page that each device really serves, by the last letter of its name."""
    items = fleet.server.operator.get("/deployments")["items"]
    return {one["device"][-1]: devices[one["device"]].get(one["id"], "app", "/") for one in items}


@pytest.mark.engine
@pytest.mark.requirement("S-16", "S-18", "S-19")
def test_a_version_goes_to_one_device_then_to_all_and_a_bad_one_is_taken_back(
    fleet: Fleet,
    devices: dict[str, Device],
    registry: RegistryAccess,
    unique: str,
    page: Callable[[str], str],
) -> None:
    publish(fleet, registry, unique, GOOD, {"image": page("good")})
    publish(fleet, registry, unique, NEWER, {"image": page("newer")})
    exits = {"image": page("newer"), "command": ["sh", "-c", "echo no licence; exit 3"]}
    publish(fleet, registry, unique, BROKEN, exits)

    until(fleet, put(fleet, unique, GOOD, devices), "done")
    assert pages(fleet, devices) == {"a": "good", "b": "good", "c": "good"}

    rollout = put(fleet, unique, NEWER, devices, canary=1, pause_after="first", soak="1s")
    until(fleet, rollout, "paused")
    assert pages(fleet, devices) == {"a": "newer", "b": "good", "c": "good"}
    fleet.server.kill()
    fleet.server.start()
    fleet.server.operator.post(f"/rollouts/{rollout}/resume", {})
    until(fleet, rollout, "done")
    assert pages(fleet, devices) == {"a": "newer", "b": "newer", "c": "newer"}

    rollout = put(fleet, unique, BROKEN, devices, canary=1, on_error="revert")
    until(fleet, rollout, "superseded")
    (failed,) = fleet.server.operator.get(f"/rollouts/{rollout}/steps?state=failed")["items"]
    assert failed["device"] == f"{unique}-a"
    assert "no licence" in failed["message"]
    back = newest(fleet, unique)
    assert (back["revision"], back["devices"]) == (4, 1)
    until(fleet, back["id"], "done")
    assert pages(fleet, devices) == {"a": "newer", "b": "newer", "c": "newer"}


@pytest.mark.engine
@pytest.mark.requirement("S-16")
def test_what_failed_for_a_reason_on_the_device_is_tried_again_from_the_server(
    fleet: Fleet,
    devices: dict[str, Device],
    registry: RegistryAccess,
    unique: str,
    page: Callable[[str], str],
) -> None:
    one = {name: device for name, device in devices.items() if name.endswith("a")}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        publish(fleet, registry, unique, GOOD, {"image": page("good"), "ports": [f"127.0.0.1:{port}:8080"]})
        rollout = put(fleet, unique, GOOD, one)
        shown = until(fleet, rollout, "stopped")
        assert "1 of 1 devices of batch 1 failed" in shown["standing"]
    fleet.server.operator.post(f"/rollouts/{rollout}/retry", {"reason": "the port is free now"})
    until(fleet, rollout, "done")
    assert pages(fleet, devices) == {"a": "good"}
