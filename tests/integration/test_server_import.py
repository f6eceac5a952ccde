"""Importing packages from a real registry (spec: REG-1 to REG-7, OP-28, OP-29)."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgewright.net.oci import RegistryClient
from edgewright.net.registries import RegistrySettings
from edgewright.protocol.oci import EMPTY_JSON, app_manifest, describe, resource_layer
from support.images import RegistryAccess
from support.server_process import OperatorClient, ServerProcess

DESCRIPTION_LAYER = "application/vnd.margo.app.description.v1+yaml"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ICON = b"an icon"


def description(application: str, version: str = "1.0.0") -> bytes:
    component = {"name": "app", "properties": {"repository": "oci://registry.test/app", "revision": "1.0.0"}}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "id": application,
            "metadata": {
                "name": "Application",
                "version": version,
                "catalog": {
                    "organization": [{"name": "Example"}],
                    "application": {"icon": "./resources/icon.png"},
                },
            },
            "deploymentProfiles": [{"type": "compose", "id": "compose", "components": [component]}],
        }
    ).encode()


def publish(registry: RegistryAccess, repository: str, tag: str, manifest: bytes, *blobs: bytes) -> str:
    """Push blobs and a manifest; return the reference of the artefact."""
    settings = RegistrySettings(ca=registry.ca, username=registry.username, password=registry.password)
    with RegistryClient(registry.host, settings) as client:
        for blob in blobs:
            client.push_blob(repository, blob)
        client.push_manifest(repository, tag, manifest, MANIFEST_TYPE)
    return f"oci://{registry.host}/{repository}:{tag}"


def publish_package(registry: RegistryAccess, application: str, tag: str = "1.0.0") -> str:
    text = description(application)
    icon = resource_layer(ICON, resource="icon", path="resources/icon.png")
    manifest = app_manifest(describe(text, DESCRIPTION_LAYER), [icon])
    return publish(registry, application, tag, manifest, EMPTY_JSON, text, ICON)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("import") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def operator(server: ServerProcess) -> OperatorClient:
    return server.operator


def refusal(operator: OperatorClient, reference: str) -> str:
    answer = operator.request("POST", "/packages/import", {"reference": reference})
    assert answer.status == 422, answer
    assert answer.headers["content-type"] == "application/problem+json"
    told: str = answer.json["detail"]
    return told


@pytest.mark.requirement("REG-1", "REG-3", "REG-4", "REG-7")
def test_a_package_is_imported_by_its_tag(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    reference = publish_package(registry, unique)
    made = operator.post("/packages/import", {"reference": reference})
    assert (made["id"], made["version"], made["source"]) == (unique, "1.0.0", reference)
    assert made["files"] == ["resources/icon.png"]
    assert made["description"] == yaml.safe_load(description(unique))
    assert operator.request("POST", "/packages/import", {"reference": reference}).status == 200


@pytest.mark.requirement("OP-29", "REG-5")
@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({}, id="without annotations"),
        pytest.param({"org.opencontainers.image.title": "./resources/icon.png"}, id="with the title alone"),
        pytest.param({"org.margo.app.resource": "icon"}, id="with the role alone"),
    ],
)
def test_resources_are_found_however_others_mark_them(
    operator: OperatorClient, registry: RegistryAccess, unique: str, annotations: Mapping[str, str]
) -> None:
    text = description(unique)
    icon = describe(ICON, "application/vnd.margo.app.icon.v1+png", annotations)
    manifest = app_manifest(describe(text, DESCRIPTION_LAYER), [icon])
    reference = publish(registry, unique, "1.0.0", manifest, EMPTY_JSON, text, ICON)
    assert operator.post("/packages/import", {"reference": reference})["files"] == ["resources/icon.png"]


@pytest.mark.requirement("REG-6", "OP-28")
def test_a_tag_that_is_not_the_version_is_refused(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    assert "version is 1.0.0" in refusal(operator, publish_package(registry, unique, "latest"))


@pytest.mark.requirement("REG-3", "REG-4")
@pytest.mark.parametrize("what", ["another artefact", "no description", "two descriptions", "no icon"])
def test_an_artefact_that_is_no_package_is_refused(
    operator: OperatorClient, registry: RegistryAccess, unique: str, what: str
) -> None:
    text = description(unique)
    manifest: dict[str, Any] = json.loads(app_manifest(describe(text, DESCRIPTION_LAYER)))
    match what:
        case "another artefact":
            manifest["artifactType"] = "application/vnd.acme.thing+json"
        case "no description":
            manifest["layers"][0]["mediaType"] = "application/octet-stream"
        case "two descriptions":
            manifest["layers"] *= 2
    reference = publish(registry, unique, "1.0.0", json.dumps(manifest).encode(), EMPTY_JSON, text)
    assert refusal(operator, reference)
    assert operator.request("GET", f"/packages/{unique}/1.0.0").status == 404


def test_a_tag_that_is_not_there_is_told(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    assert unique in refusal(operator, f"oci://{registry.host}/{unique}:1.0.0")


def test_a_registry_that_is_not_there_is_told(operator: OperatorClient) -> None:
    answer = operator.request("POST", "/packages/import", {"reference": "oci://127.0.0.1:1/shop:1.0.0"})
    assert answer.status == 502
    assert "127.0.0.1:1" in answer.json["detail"]


@pytest.mark.requirement("REG-8")
def test_credentials_and_authorities_come_from_registries_yaml(
    server: ServerProcess,
    operator: OperatorClient,
    secured_registry: RegistryAccess,
    unique: str,
    tmp_path: Path,
) -> None:
    reference = publish_package(secured_registry, unique)
    settings = server.data / "registries.yaml"
    assert operator.request("POST", "/packages/import", {"reference": reference}).status in {422, 502}
    entry = {
        "ca": secured_registry.ca,
        "username": secured_registry.username,
        "password": secured_registry.password,
    }
    settings.write_text(yaml.safe_dump({"hosts": {secured_registry.host: entry}}))
    try:
        assert operator.post("/packages/import", {"reference": reference})["id"] == unique
    finally:
        settings.unlink()
