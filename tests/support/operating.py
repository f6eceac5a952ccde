"""What tests of the operator API share: small packages, their upload, and how errors look."""

import io
import tarfile
from collections.abc import Mapping
from typing import Any

import yaml

from support.server_process import Answer, OperatorClient


def tar_of(files: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def description(application: str, version: str = "1.0.0", **entry: str) -> dict[str, Any]:
    component = {"name": "app", "properties": {"repository": "oci://registry.test/app", "revision": "1.0.0"}}
    return {
        "apiVersion": "v1",
        "id": application,
        "metadata": {
            "name": "Application",
            "version": version,
            "catalog": {"organization": [{"name": "Example"}], **({"application": entry} if entry else {})},
        },
        "deploymentProfiles": [{"type": "compose", "id": "compose", "components": [component]}],
    }


def upload(operator: OperatorClient, body: bytes) -> Answer:
    return operator.request("POST", "/packages", body=body, media_type="application/gzip")


def package(application: str, version: str = "1.0.0") -> bytes:
    return tar_of({"margo.yaml": yaml.safe_dump(description(application, version)).encode()})


def assert_problem(answer: Answer, status: int, told: str = "") -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer
    assert answer.json["status"] == status
    assert told in answer.body.decode()
