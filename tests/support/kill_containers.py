"""The device of the kill tests with real containers: the whole product, an engine, and ways that break."""

import io
import json
import shutil
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.certificates import Authority
from support.compose_component import compose_json, publish
from support.cut_filesystem import CutFilesystem, why_not
from support.engines import Engine, EngineApi, EngineRefusedError
from support.foreign_server import ForeignServer
from support.images import RegistryAccess, busybox_image, push
from support.kill_field import Field, Part
from support.kill_rig import BROKEN, KillRig
from support.proxies import Proxy

# Each start leaves a line in the volume: what was started twice is seen there.
_SCRIPT = f"""#!/bin/sh
echo "$WORD" >>/data/log
[ "$NAME$WORD" = web{BROKEN} ] && exit 3
trap 'exit 0' TERM
while :; do sleep 0.2; done
"""
_SERVICE_LABEL = "com.docker.compose.service"


class ContainerRig(KillRig):
    """The device: agent and runtime are the product's own, `engine` is reached by a way that can break."""

    def __init__(self, directory: Path, authority: Authority, engine: Engine, way: Proxy) -> None:
        super().__init__(directory, authority)
        self._way = way
        self._api = EngineApi(engine.socket)
        self._settings = directory / "agent.yaml"
        settings = {"engine": {"socket": way.address, "compose": engine.compose}}
        self._settings.write_text(json.dumps(settings))

    def watch_command(self, poll: float) -> list[str]:
        words = ["agent", "run", "--state", str(self.state), "--config", str(self._settings)]
        return [sys.executable, "-m", "edgewright.cli.main", *words, "--poll", f"{poll}s"]

    def engine_gone(self) -> None:
        self._way.gone()

    def engine_back(self) -> None:
        self._way.back()

    def runs(self) -> dict[str, str]:
        """What runs, how, and what it has written: one line a start."""
        found = {}
        for one in self._containers():
            labels, deployment = one["Labels"], one["Labels"]["io.edgewright.deployment"]
            about = self._api.get(f"/containers/{one['Id']}/json")
            word = next(each for each in about["Config"]["Env"] if each.startswith("WORD="))
            key = f"{deployment} {labels[_SERVICE_LABEL]}"
            found[key] = f"{one['State']} {word} {self._written(one['Id'])}"
        for kind, listed in (("network", self._api.networks), ("volume", self._api.volumes)):
            found.update({f"{kind} {one['Name']}": "" for one in listed(self._label)})
        return found

    def words(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Return state and WORD of everything that is there, by deployment and service."""
        return {
            (deployment, service): (line.split()[0], line.split()[1].removeprefix("WORD="))
            for key, line in self.runs().items()
            if not key.startswith(("network ", "volume "))
            for deployment, service in [key.split()]
        }

    def clean(self) -> None:
        """Remove from the engine whatever is left of ours."""
        if not (self.state / "owner").exists():
            return
        for one in self._containers():
            self._api.request("DELETE", f"/containers/{one['Id']}?force=true")
        for one in self._api.networks(self._label):
            self._api.request("DELETE", f"/networks/{one['Id']}")
        for one in self._api.volumes(self._label):
            self._api.request("DELETE", f"/volumes/{one['Name']}?force=true")

    @property
    def _label(self) -> str:
        return "io.edgewright.owner=" + (self.state / "owner").read_text().strip()

    def _containers(self) -> list[dict[str, Any]]:
        return self._api.containers(self._label)

    def _written(self, container: str) -> str:
        try:
            data = self._api.request("GET", f"/containers/{container}/archive?path=/data/log")
        except EngineRefusedError:
            return ""
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            file = archive.extractfile("log")
            return "" if file is None else file.read().decode().replace("\n", " ")


@contextmanager
def container_field(
    directory: Path,
    *,
    engine: Engine,
    registry: RegistryAccess,
    busybox: Path,
    unique: str,
    deployments: int = 1,
) -> Iterator[Field]:
    """A field with containers; all of them, every mount and every process is gone afterwards."""
    directory.mkdir(parents=True, exist_ok=True)
    sockets = Path(tempfile.mkdtemp(prefix="ew-"))  # a socket's path has to be short
    host, _, port = registry.host.partition(":")
    authority = Authority.create()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, sockets)
        server = stack.enter_context(ForeignServer(authority))
        to_server = stack.enter_context(Proxy(("127.0.0.1", server.port)))
        to_registry = stack.enter_context(Proxy((host, int(port))))
        to_engine = stack.enter_context(Proxy(engine.socket, str(sockets / "engine")))
        rig = ContainerRig(directory, authority, engine, to_engine)
        disk = None
        if why_not() is None:
            # The agent fetches nothing that would leave it less than 16 MiB.
            disk = CutFilesystem.make(directory / "image", rig.state, mebibytes=64)
            stack.enter_context(disk.mounted())
        stack.callback(rig.clean)
        stack.callback(rig.end)
        rig.enroll(f"https://{to_server.host}")
        # Podman pulls without TLS from the registry itself alone, so the way to it cannot be cut there.
        origin = registry.host if engine.name == "podman" else to_registry.host
        parts = publish_parts(registry, origin, busybox, unique)
        yield Field(
            server,
            (to_server, to_registry),
            rig,
            # Two fields on one engine must not take each other's containers for their own.
            deployments=[
                str(uuid.uuid5(uuid.NAMESPACE_OID, f"{unique} {one}")) for one in range(deployments)
            ],
            components=parts,
            disk=disk,
        )


def publish_parts(registry: RegistryAccess, origin: str, busybox: Path, unique: str) -> list[Part]:
    """Publish the two components and their image, to be fetched from `origin` (host:port)."""
    push(
        busybox_image(busybox, command=["/start"], files={"/start": _SCRIPT.encode()}),
        registry,
        f"{unique}/i",
        "1",
    )
    parts: list[Part] = []
    for name in ("db", "web"):
        service = {
            "image": f"{origin}/{unique}/i:1",
            "environment": {"NAME": name},
            "volumes": ["kept:/data"],
            "stop_grace_period": "0s",
        }
        document = json.loads(compose_json(**{name: service})) | {"volumes": {"kept": {}}}
        publish(registry, f"{unique}/{name}", "1.0.0", {"compose.yaml": json.dumps(document)})
        properties = {
            "repository": f"oci://{origin}/{unique}/{name}",
            "revision": "1.0.0",
            "timeout": "1m0s",
        }
        parts.append({"name": name, "properties": properties})
    return parts
