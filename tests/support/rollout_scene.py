"""Six devices of another vendor at a real server with two versions of an application to roll out."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from support.fleet_store import description
from support.foreign_client import ForeignClient, capabilities
from support.operating import tar_of, upload
from support.processes import wait_until
from support.server_process import OperatorClient, ServerProcess

NAMES = tuple(f"edge-{number}" for number in range(1, 7))


def add_packages(server: ServerProcess) -> None:
    """Upload versions 1.0.0 and 2.0.0."""
    for version in ("1.0.0", "2.0.0"):
        document = yaml.safe_dump(description(version)).encode()
        assert upload(server.operator, tar_of({"margo.yaml": document})).status == 201


@contextmanager
def six_devices(server: ServerProcess, folder: Path) -> Iterator[Mapping[str, ForeignClient]]:
    """Enrol six devices that report their capabilities."""
    with ExitStack() as stack:
        found = {}
        for name in NAMES:
            token = server.operator.post("/enrollments", {"name": name})["token"]
            device = stack.enter_context(ForeignClient.enrolled(token, folder / name))
            assert device.report_capabilities(name, capabilities(name)).status < 300
            found[name] = device
        yield found


def put(operator: OperatorClient, version: str = "1.0.0", **strategy: Any) -> dict[str, Any]:
    """Give every device a version of the application; return the rollout."""
    body = {"application": "shop", "version": version, "target": {"all": True}, "strategy": strategy}
    operator.put("/assignments/shop", body)
    found: dict[str, Any] = operator.items("/rollouts?assignment=shop")[0]
    return found


def wanted(device: ForeignClient) -> list[tuple[str, int]]:
    """Return id and manifest version of what a device is told to have."""
    manifest = device.poll().json
    return [(one["deploymentId"], manifest["manifestVersion"]) for one in manifest["deployments"]]


def answer(devices: Mapping[str, ForeignClient], state: str, *names: str, **more: Any) -> None:
    """Have devices report about what they are told to have."""
    for name in names:
        for deployment_id, version in wanted(devices[name]):
            assert devices[name].report_status(deployment_id, state, version, **more).status < 300


def given(devices: Mapping[str, ForeignClient]) -> list[str]:
    return [name for name, device in devices.items() if wanted(device)]


def state_of(operator: OperatorClient, rollout: Mapping[str, Any]) -> str:
    return str(operator.get(f"/rollouts/{rollout['id']}")["state"])


def until_state(operator: OperatorClient, rollout: Mapping[str, Any], state: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        shown: dict[str, Any] = operator.get(f"/rollouts/{rollout['id']}")
        return shown if shown["state"] == state else None

    return wait_until(look, what=f"the rollout did not become {state}")


def until_given(devices: Mapping[str, ForeignClient], *names: str) -> None:
    wait_until(lambda: given(devices) == list(names), what=f"not {names} were told to have it")


def failure(code: str) -> dict[str, Any]:
    error = {"code": code, "source": "component", "message": f"{code} happened"}
    return {"status": {"state": "failed", "error": error}}
