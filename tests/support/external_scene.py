"""A device with a deployment whose repository is on a Git server of somebody else's, and people there.

upload(server)                      # the application, once for each server
scene = Scene.create(server, backend, tmp_path, "edge-01")
person = scene.person()
person.change({"README.md": "hello"})
person.push()
scene.look()["refused"]
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from support.foreign_client import ForeignClient, capabilities
from support.git_backend import GitBackend, Person
from support.operating import tar_of
from support.processes import own_environment
from support.server_process import Answer, OperatorClient, ServerProcess

NOBODY = {"how": "none"}


def description() -> dict[str, Any]:
    """An application with two parameters, one of which cannot be changed."""
    component = {"name": "app", "properties": {"repository": "oci://registry.test/app", "revision": "1.0.0"}}
    settings = [
        {"parameter": "greeting", "name": "Greeting", "schema": "text"},
        {"parameter": "site", "name": "Site", "schema": "text", "immutable": True},
    ]
    return {
        "apiVersion": "v1",
        "id": "hello",
        "metadata": {
            "name": "Hello",
            "version": "1.0.0",
            "catalog": {"organization": [{"name": "Example"}]},
        },
        "deploymentProfiles": [{"type": "compose", "id": "compose", "components": [component]}],
        "parameters": {
            name: {"value": value, "targets": [{"pointer": name.upper(), "components": ["app"]}]}
            for name, value in {"greeting": "hello", "site": "plant 4"}.items()
        },
        "configuration": {
            "sections": [{"name": "General", "settings": settings}],
            "schema": [{"name": "text", "dataType": "string", "maxLength": 20}],
        },
    }


def upload(server: ServerProcess) -> None:
    """Let the server know the application."""
    body = tar_of({"margo.yaml": yaml.safe_dump(description()).encode()})
    server.operator.post("/packages", body=body, media_type="application/gzip")


@dataclass(frozen=True, slots=True)
class Scene:
    """A device with a deployment, and its repository on another Git server."""

    server: ServerProcess
    backend: GitBackend
    device: str
    folder: Path
    deployment: str

    @classmethod
    def create(cls, server: ServerProcess, backend: GitBackend, folder: Path, name: str) -> Self:
        """Enrol the device `name`, deploy to it, and give it its repository."""
        operator = server.operator
        token = operator.post("/enrollments", {"name": name})["token"]
        with ForeignClient.enrolled(token, folder / "device") as client:
            assert client.report_capabilities(name, capabilities(name)).status == 201
        made = operator.post("/deployments", {"application": "hello", "version": "1.0.0", "device": name})
        answer = give(operator, name, backend.make(name), backend.ca)
        assert answer.status == 201, answer.body
        assert answer.json["problem"] is None, answer
        return cls(server, backend, name, folder, made["id"])

    @property
    def operator(self) -> OperatorClient:
        return self.server.operator

    @property
    def path(self) -> str:
        return f"/devices/{self.device}/repository/external"

    @property
    def document(self) -> str:
        return f"deployments/{self.deployment}.yaml"

    def head(self, branch: str = "desired") -> str:
        return self.backend.git("rev-parse", f"refs/heads/{branch}", at=self.backend.path(self.device))

    def file(self, path: str, branch: str = "desired") -> str:
        return self.backend.git("show", f"{branch}:{path}", at=self.backend.path(self.device))

    def message(self) -> str:
        return self.backend.git("log", "-1", "--format=%B", "desired", at=self.backend.path(self.device))

    def files(self) -> list[str]:
        listed = self.backend.git(
            "ls-tree", "-r", "--name-only", "desired", at=self.backend.path(self.device)
        )
        return listed.splitlines()

    def look(self) -> dict[str, Any]:
        found: dict[str, Any] = self.operator.post(f"{self.path}/look")
        return found

    def person(self, name: str = "ada", author: str = "Ada Lovelace") -> Person:
        return Person(self.folder / name, self.backend, self.device, author)

    def values(self) -> dict[str, Any]:
        return {
            name: one["value"]
            for name, one in yaml.safe_load(self.file(self.document))["spec"]["parameters"].items()
        }

    def audit(self, action: str) -> list[dict[str, Any]]:
        page = self.operator.get(f"/audit?subject={self.device}&limit=100")
        return [entry for entry in page["items"] if entry["action"] == action]

    def verified(self, commit: str) -> bool:
        """Whether a device that was told of the signers would take a commit for the fleet manager's."""
        signers = self.folder / "signers"
        signers.write_text(self.file("signers") + "\n")
        done = subprocess.run(
            [
                "git",
                "-c",
                f"gpg.ssh.allowedSignersFile={signers}",
                "--git-dir",
                str(self.backend.path(self.device)),
                "verify-commit",
                commit,
            ],
            capture_output=True,
            check=False,
            env=own_environment(GIT_CONFIG_GLOBAL="/dev/null"),
        )
        return done.returncode == 0


def give(operator: OperatorClient, device: str, url: str, ca: str, credentials: Any = NOBODY) -> Answer:
    body = {"url": url, "credentials": credentials, "ca": ca}
    return operator.request("PUT", f"/devices/{device}/repository/external", body)
