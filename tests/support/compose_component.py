"""Makes Compose components, publishes them, and runs them by the product's runtime on a real engine."""

import hashlib
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from edgewright.agent.runtimes import Component
from edgewright.agent.runtimes.compose import ComposeRuntime
from edgewright.agent.runtimes.compose_program import find_compose_program
from edgewright.agent.runtimes.engine import Engine as EngineClient
from edgewright.net.oci import RegistryClient
from edgewright.net.registries import Registries, RegistrySettings
from edgewright.protocol import yaml
from edgewright.protocol.archive import pack_directory_entries
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.media_types import OCI_MANIFEST
from edgewright.protocol.oci import compose_layer, compose_manifest
from support.engines import Engine, EngineApi
from support.images import RegistryAccess


def settings_of(registry: RegistryAccess) -> RegistrySettings:
    return RegistrySettings(ca=registry.ca, username=registry.username, password=registry.password)


def publish(registry: RegistryAccess, repository: str, version: str, files: Mapping[str, str | bytes]) -> str:
    """Publish a component with `files` (path below its directory to content); return its repository."""
    entries = {
        f"component/{path}": (content.encode() if isinstance(content, str) else content, 0o644)
        for path, content in files.items()
    }
    archive = pack_directory_entries(entries)
    with RegistryClient(registry.host, settings_of(registry)) as client:
        client.push_blob(repository, archive)
        client.push_blob(repository, b"{}")
        manifest = compose_manifest(compose_layer(archive, version=version))
        client.push_manifest(repository, version, manifest, OCI_MANIFEST)
    return f"oci://{registry.host}/{repository}"


@dataclass
class Bench:
    """One device's runtime on one engine; `component` builds and publishes what it is to run."""

    engine: Engine
    registry: RegistryAccess
    directory: Path
    unique: str
    registries: Registries = field(default_factory=Registries)
    settle_seconds: float = 0.5
    _runtimes: list[ComposeRuntime] = field(default_factory=list)

    @property
    def deployment_id(self) -> str:
        digest = hashlib.sha256(self.unique.encode()).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"

    @property
    def api(self) -> EngineApi:
        return EngineApi(self.engine.socket)

    def runtime(self) -> ComposeRuntime:
        """Return a new runtime, as a new round makes one; `clean` closes it."""
        made = ComposeRuntime(
            EngineClient(self.engine.socket),
            find_compose_program(self.engine.compose, {}),
            directory=str(self.directory / "compose"),
            owner=self.unique,
            registries=self.registries,
            settle_seconds=self.settle_seconds,
        )
        self._runtimes.append(made)
        return made

    def component(
        self,
        compose: str,
        *,
        version: str = "1.0.0",
        files: Mapping[str, str | bytes] | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: timedelta | None = timedelta(seconds=60),
        name: str = "app",
    ) -> Component:
        """Publish `compose` as a component and return it as a deployment would want it."""
        everything = {"compose.yaml": _stopping_at_once(compose), **(files or {})}
        repository = publish(self.registry, f"{self.unique}/{name}", version, everything)
        return self.wanted(
            repository,
            version=version,
            environment=environment,
            timeout=timeout,
            name=name,
            content=everything,
        )

    def wanted(
        self,
        repository: str,
        *,
        version: str = "1.0.0",
        environment: Mapping[str, str] | None = None,
        timeout: timedelta | None = timedelta(seconds=60),
        name: str = "app",
        content: object = None,
    ) -> Component:
        """Return a component of `repository`; its revision stands for everything given here."""
        stuff = repr((repository, version, sorted((environment or {}).items()), timeout, content))
        revision = "sha256:" + hashlib.sha256(stuff.encode()).hexdigest()
        return Component(
            deployment_id=self.deployment_id,
            revision=revision,
            name=name,
            repository=repository,
            version=version,
            environment=environment or {},
            timeout=timeout,
            directory=str(self.directory / "projects" / self.deployment_id / revision[7:19] / name),
        )

    def install(self, component: Component) -> None:
        """Do what a round does: fetch, apply, verify."""
        runtime = self.runtime()
        runtime.fetch(component)
        runtime.apply(component)
        runtime.verify(component)

    def inspect(self) -> dict[str, Any]:
        """Return the inspection of every container of this bench by its service, looked at from outside."""
        listed = self.api.containers(f"io.edgewright.owner={self.unique}")
        inspected = [self.api.get(f"/containers/{one['Id']}/json") for one in listed]
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in inspected}

    def environment_of(self, service: str) -> dict[str, str]:
        """Return the environment a service's container was made with."""
        return dict(pair.split("=", 1) for pair in self.inspect()[service]["Config"]["Env"])

    def get(self, service: str, path: str) -> str:
        """Fetch `path` from a service by its container's own address."""
        networks = self.inspect()[service]["NetworkSettings"]["Networks"]
        address = next(iter(networks.values()))["IPAddress"]
        connection = http.client.HTTPConnection(address, 8080, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def leftovers(self) -> dict[str, list[str]]:
        """Return what of this bench is on the engine and on the disk; all empty when nothing is left."""
        label = f"io.edgewright.owner={self.unique}"
        notes = (self.directory / "compose").glob("*.json")
        projects = self.directory / "projects" / self.deployment_id
        return {
            "containers": [one["Names"][0] for one in self.api.containers(label)],
            "networks": [one["Name"] for one in self.api.networks(label)],
            "volumes": [one["Name"] for one in self.api.volumes(label)],
            "notes": [note.name for note in notes],
            "files": [str(path) for path in projects.rglob("*") if path.is_file()],
        }

    def clean(self) -> None:
        """Remove whatever a test left, and close every runtime it made."""
        runtime = self.runtime()
        for deployment_id, name in runtime.observe():
            runtime.remove(deployment_id, name)
        runtime.release([])
        for made in self._runtimes:
            made.close()


def _stopping_at_once(compose: str) -> str:
    """Let nobody wait for a container that does not listen to SIGTERM; odd files stay as they are."""
    try:
        document = yaml.load(compose.encode(), source="compose.yaml")
        for service in document["services"].values():
            service.setdefault("stop_grace_period", "0s")
    except (EdgewrightError, TypeError, KeyError, AttributeError):
        return compose
    return yaml.dump(document).decode()


def compose_json(**services: Mapping[str, object]) -> str:
    """Return a compose.yaml with these services, as JSON, which is YAML too."""
    return json.dumps({"services": services})
