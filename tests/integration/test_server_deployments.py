"""From an uploaded package to what a device is served, and back to what an operator sees."""

import gzip
import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.foreign_client import BUNDLE, ForeignClient, HeldPoll, capabilities
from support.server_process import OperatorClient, ServerProcess

COMPONENT_1 = {"name": "app", "properties": {"repository": "oci://registry.test/app", "revision": "1.0.0"}}


def description(version: str = "1.0.0", **members: Any) -> dict[str, Any]:
    """A small application with one Compose component and two parameters; `members` replace parts of it."""
    return {
        "apiVersion": "v1",
        "id": "hello",
        "metadata": {
            "name": "Hello",
            "version": version,
            "catalog": {"organization": [{"name": "Example"}]},
        },
        "deploymentProfiles": [{"type": "compose", "id": "hello-compose", "components": [COMPONENT_1]}],
        "parameters": {
            "greeting": {"value": "hello", "targets": [{"pointer": "GREETING", "components": ["app"]}]},
            "site": {"targets": [{"pointer": "SITE", "components": ["app"]}]},
        },
        "configuration": {
            "sections": [
                {
                    "name": "General",
                    "settings": [
                        {"parameter": "greeting", "name": "Greeting", "schema": "text"},
                        {"parameter": "site", "name": "Site", "schema": "any", "immutable": True},
                    ],
                }
            ],
            "schema": [
                {"name": "text", "dataType": "string", "maxLength": 20},
                {"name": "any", "dataType": "string", "allowEmpty": True},
            ],
        },
        **members,
    }


def package(document: Mapping[str, Any], folder: str = "hello/") -> bytes:
    """The gzip tar of a package folder."""
    return archive({f"{folder}margo.yaml": yaml.safe_dump(dict(document)).encode()})


def archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("deployments") / "server") as running:
        upload(running.operator, description())
        yield running


def upload(operator: OperatorClient, document: Mapping[str, Any]) -> Any:
    return operator.post("/packages", body=package(document), media_type="application/gzip")


@pytest.fixture
def device(server: ServerProcess, tmp_path: Path, unique: str) -> Iterator[ForeignClient]:
    """An enrolled device that has reported its capabilities; its client id is `unique`."""
    token = server.operator.post("/enrollments", {"name": unique})["token"]
    with ForeignClient.enrolled(token, tmp_path / "device") as client:
        assert client.report_capabilities(unique, capabilities(unique)).status == 201
        yield client


def deploy(operator: OperatorClient, device: str, **members: Any) -> Any:
    return operator.post(
        "/deployments", {"application": "hello", "version": "1.0.0", "device": device, **members}
    )


@pytest.mark.requirement(
    "AD-1", "AD-2", "PKG-2", "DS-7", "DS-11", "DS-21", "DG-3", "DG-5", "DG-6", "API-13", "S-18", "S-28"
)
def test_a_deployment_reaches_the_device_by_document_and_by_bundle(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    made = deploy(server.operator, unique, parameters={"site": "plant 4"})
    reply = device.poll()
    manifest = reply.json
    assert reply.headers["etag"] == f'"{reply.digest}"'
    assert (manifest["manifestVersion"], len(manifest["deployments"])) == (2, 1)
    reference = manifest["deployments"][0]
    assert reference["deploymentId"] == made["id"]
    document = device.request("GET", reference["url"])
    assert document.digest == reference["digest"]
    assert document.headers["content-type"] == "application/yaml"
    assert document.headers["etag"] == f'"{document.digest}"'
    assert document.headers["cache-control"] == "private, max-age=31536000, immutable"
    content = yaml.safe_load(document.body)
    assert content["id"] == made["id"]
    assert content["metadata"]["deviceId"] == unique
    assert content["spec"]["deploymentProfile"] == {"type": "compose", "components": [COMPONENT_1]}
    assert {name: one["value"] for name, one in content["spec"]["parameters"].items()} == {
        "greeting": "hello",
        "site": "plant 4",
    }
    bundle = device.request("GET", manifest["bundle"]["url"])
    assert (bundle.digest, bundle.headers["content-type"]) == (manifest["bundle"]["digest"], BUNDLE)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle.body))) as tar:
        members = {member.name: tar.extractfile(member) for member in tar.getmembers()}
    assert {name: file and file.read() for name, file in members.items()} == {
        f"{made['id']}.yaml": document.body
    }


@pytest.mark.requirement("DS-6", "S-23")
def test_a_device_that_waits_is_told_of_a_deployment_at_once(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    with HeldPoll(device) as held:
        deploy(server.operator, unique)
        status, headers = held.answer()
    assert (status, headers["preference-applied"]) == (200, "wait=60")
    assert headers["etag"] == device.poll().headers["etag"] != held.etag


@pytest.mark.requirement("DS-7", "DS-9", "DS-10", "DS-22")
def test_every_change_makes_a_greater_version_also_when_the_content_returns(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    operator = server.operator
    made = deploy(operator, unique)
    seen = [device.poll().json]
    for greeting in ("hi", "hello"):
        operator.put(f"/deployments/{made['id']}", {"parameters": {"greeting": greeting}})
        seen.append(device.poll().json)
    operator.delete(f"/deployments/{made['id']}")
    seen.append(device.poll().json)
    assert [one["manifestVersion"] for one in seen] == [2, 3, 4, 5]
    digests = [one["deployments"][0]["digest"] for one in seen[:3]]
    assert digests[0] == digests[2] != digests[1]
    assert {one["deployments"][0]["deploymentId"] for one in seen[:3]} == {made["id"]}
    assert (seen[3]["bundle"], seen[3]["deployments"]) == (None, [])


def test_what_a_change_replaced_stays_fetchable_for_a_client_in_the_middle_of_it(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    made = deploy(server.operator, unique)
    old = device.poll().json
    server.operator.delete(f"/deployments/{made['id']}")
    assert device.request("GET", old["bundle"]["url"]).status == 200
    assert device.request("GET", old["deployments"][0]["url"]).status == 200


def test_a_change_that_changes_nothing_makes_no_new_manifest(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    made = deploy(server.operator, unique)
    before = device.poll()
    again = server.operator.put(f"/deployments/{made['id']}", {"parameters": {"greeting": "hello"}})
    assert again["digest"] == made["digest"]
    assert device.poll(before.headers["etag"]).status == 304


@pytest.mark.requirement("ST-4", "ST-25", "S-8", "S-27")
def test_the_operator_sees_how_it_stands_with_a_deployment(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    operator, path = server.operator, "/deployments/"
    made = deploy(operator, unique)
    path += made["id"]
    assert (made["state"], made["current"]) == ("waiting", None)
    assert device.report_status(made["id"], "installing", 2).status == 201
    assert operator.get(path)["state"] == "taking-up"
    assert device.report_status(made["id"], "installed", 2).status == 200
    assert operator.get(path)["state"] == "converged"
    operator.put(path, {"parameters": {"greeting": "hi"}})
    assert operator.get(path)["state"] == "behind"
    error = {"code": "E1", "source": "app", "message": "no disk"}
    device.report_status(
        made["id"], "failed", 3, components=[{"name": "app", "state": "failed", "error": error}]
    )
    shown = operator.get(path)
    assert (shown["state"], shown["current"]["components"][0]["error"]) == ("failed", error)
    assert [one["state"] for one in operator.items(f"{path}/history")] == [
        "installing",
        "installed",
        "failed",
    ]
    begun = operator.get(f"{path}/history?limit=2")
    assert [one["state"] for one in begun["items"]] == ["installing", "installed"]
    rest = operator.get(f"{path}/history?limit=2&after={begun['next']}")
    assert ([one["state"] for one in rest["items"]], rest["next"], rest["total"]) == (["failed"], None, 3)


def held(device: ForeignClient, client_id: str, deployment_id: str, digest: str, **members: Any) -> None:
    """Have the device's site report that it holds something back."""
    hold = {
        "deploymentId": deployment_id,
        "name": "hello",
        "kind": "install",
        "digest": digest,
        "reason": "approval",
        "message": "waits for approval 7",
        "since": "2026-11-26T12:00:00Z",
        "approval": 7,
    }
    reply = device.report_site({"deviceId": client_id, "holds": [hold | members]})
    assert reply.status in {200, 201}, reply.body


@pytest.mark.requirement("ST-25", "OFF-4", "S-25")
def test_the_operator_sees_what_a_site_holds_back(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    operator = server.operator
    made = deploy(operator, unique)
    path = f"/deployments/{made['id']}"

    error = {"code": "hold.approval", "source": "hello", "message": "waits for approval"}
    device.report_status(made["id"], "pending", 2, status={"state": "pending", "error": error})
    shown = operator.get(path)
    assert (shown["state"], shown["hold"]["message"]) == ("waiting-for-approval", "waits for approval")
    assert (shown["hold"]["since"], shown["hold"]["approval"]) == (None, None)

    held(device, unique, made["id"], made["digest"])
    shown = operator.get(path)
    assert (shown["hold"]["message"], shown["hold"]["approval"]) == ("waits for approval 7", 7)
    (listed,) = (one for one in operator.items("/devices") if one["client_id"] == unique)
    assert listed["deployments"] == {"waiting-for-approval": 1}

    held(device, unique, made["id"], made["digest"], reason="window", until="2026-11-27T02:00:00Z")
    shown = operator.get(path)
    assert (shown["state"], shown["hold"]["until"]) == ("held", "2026-11-27T02:00:00Z")

    # Another revision is wanted now: what was said of the one before counts no more.
    changed = operator.put(path, {"parameters": {"greeting": "hi"}})
    assert (changed["state"], changed["hold"]) == ("behind", None)
    held(device, unique, made["id"], changed["digest"], kind="update")
    assert operator.get(path)["state"] == "waiting-for-approval"

    # It has begun, whatever the site's last report says.
    device.report_status(made["id"], "installing", 3)
    assert operator.get(path)["state"] == "taking-up"
    device.report_status(made["id"], "installed", 3)
    shown = operator.get(path)
    assert (shown["state"], shown["hold"]) == ("converged", None)


@pytest.mark.requirement("OP-19", "OFF-4")
def test_a_removal_can_be_held_back_as_well(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    operator = server.operator
    made = deploy(operator, unique)
    path = f"/deployments/{made['id']}"
    device.report_status(made["id"], "installed", 2)
    held(device, unique, made["id"], made["digest"], kind="remove")
    assert operator.get(path)["state"] == "converged"
    assert operator.delete(path)["state"] == "waiting-for-approval"
    (shown,) = operator.get(f"/devices/{unique}")["deployments"]
    assert (shown["hold"]["kind"], shown["hold"]["approval"]) == ("remove", 7)
    device.report_status(made["id"], "removing", 3)
    assert operator.get(path)["state"] == "removing"
    device.report_status(made["id"], "removed", 3)
    assert operator.get(path)["state"] == "removed"


@pytest.mark.requirement("ST-4", "OP-19")
def test_a_removal_is_reported_after_the_deployment_is_gone_from_the_manifest(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    operator = server.operator
    made = deploy(operator, unique)
    device.report_status(made["id"], "installed", 2)
    assert operator.delete(f"/deployments/{made['id']}")["state"] == "removing"
    assert device.report_status(made["id"], "removing", 3).status == 200
    assert device.report_status(made["id"], "removed", 3).status == 200
    assert operator.get(f"/deployments/{made['id']}")["state"] == "removed"
    assert [one["id"] for one in operator.items(f"/deployments?device={unique}")] == []
    assert [one["id"] for one in operator.items(f"/deployments?device={unique}&removed=true")] == [made["id"]]


@pytest.mark.requirement("CFG-2", "CFG-3")
@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        pytest.param({"colour": "red"}, "has no such parameter", id="unknown name"),
        pytest.param({"greeting": 4}, "expected string", id="wrong type"),
        pytest.param({"greeting": "x" * 21}, "at most 20 characters", id="rule broken"),
        pytest.param({"greeting": ""}, "a value is needed", id="empty"),
    ],
)
def test_parameters_are_judged_before_anything_is_deployed(
    server: ServerProcess, device: ForeignClient, unique: str, parameters: Any, fault: str
) -> None:
    wish = {"application": "hello", "version": "1.0.0", "device": unique, "parameters": parameters}
    answer = server.operator.request("POST", "/deployments", wish)
    assert answer.status == 422
    assert [error["field"] for error in answer.json["errors"]] == [f"parameters.{next(iter(parameters))}"]
    assert fault in answer.json["errors"][0]["message"]
    assert device.poll().json["manifestVersion"] == 1


@pytest.mark.requirement("CFG-3")
def test_an_immutable_parameter_keeps_the_value_it_was_installed_with(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    made = deploy(server.operator, unique, parameters={"site": "north"})
    answer = server.operator.request("PUT", f"/deployments/{made['id']}", {"parameters": {"site": "south"}})
    assert answer.status == 422
    assert answer.json["errors"][0]["field"] == "parameters.site"
    assert "cannot be changed" in answer.json["errors"][0]["message"]


@pytest.mark.requirement("MAT-2")
def test_an_application_is_not_placed_on_a_device_it_does_not_fit(
    server: ServerProcess, device: ForeignClient, unique: str
) -> None:
    device.report_capabilities(unique, capabilities(unique, supportedDeploymentTypes=["helm"]))
    wish = {"application": "hello", "version": "1.0.0", "device": unique}
    answer = server.operator.request("POST", "/deployments", wish)
    assert answer.status == 422
    assert "supports helm, not compose" in answer.json["errors"][0]["message"]
