"""Application packages for tests: made in memory, published to a registry or written to a folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewright.net.oci import RegistryClient
from edgewright.net.registries import RegistrySettings
from edgewright.protocol.media_types import APP_DESCRIPTION_LAYER, OCI_MANIFEST
from edgewright.protocol.oci import EMPTY_JSON, app_manifest, describe, resource_layer
from support.images import RegistryAccess

ROLES = ("icon", "descriptionFile", "licenseFile", "releaseNotes")


def describing(
    application: str, version: str = "1.0.0", *, files: Mapping[str, str] | None = None, **members: Any
) -> bytes:
    """Return a description (JSON is YAML); `files` maps role to path, `members` replace top-level members."""
    component = {"name": "app", "properties": {"repository": "oci://registry.test/app", "revision": "1.0.0"}}
    catalog: dict[str, Any] = {"organization": [{"name": "Example"}]}
    if files:
        catalog["application"] = dict(files)
    return json.dumps(
        {
            "apiVersion": "v1",
            "id": application,
            "metadata": {"name": application.title(), "version": version, "catalog": catalog},
            "deploymentProfiles": [{"type": "compose", "id": "compose", "components": [component]}],
            **members,
        }
    ).encode()


def client_of(registry: RegistryAccess) -> RegistryClient:
    """Return a client for a registry of the testbed."""
    settings = RegistrySettings(ca=registry.ca, username=registry.username, password=registry.password)
    return RegistryClient(registry.host, settings)


def publish(
    registry: RegistryAccess,
    repository: str,
    tag: str,
    description: bytes,
    files: Mapping[str, tuple[str, bytes]] | None = None,
) -> str:
    """Push a package under a tag; `files` maps role to path and content. Returns the manifest's digest."""
    given = files or {}
    resources = [resource_layer(data, resource=role, path=path) for role, (path, data) in given.items()]
    manifest = app_manifest(describe(description, APP_DESCRIPTION_LAYER), resources)
    with client_of(registry) as client:
        for blob in (EMPTY_JSON, description, *(data for _, data in given.values())):
            client.push_blob(repository, blob)
        return client.push_manifest(repository, tag, manifest, OCI_MANIFEST)


def write_package(folder: Path, description: bytes, files: Mapping[str, bytes] | None = None) -> Path:
    """Write a package folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "margo.yaml").write_bytes(description)
    for path, data in (files or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder
