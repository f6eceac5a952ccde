"""Which container engine the demo uses, and what it leaves there: found by label, removed, counted."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edgewright.agent.runtimes import EngineError
from edgewright.agent.runtimes.engine import Engine, find_engine
from edgewright.cli.demo.processes import Background
from edgewright.cli.errors import UsageError
from edgewright.net.http import Client

DEPLOYMENT_LABEL = "io.edgewright.deployment"
SERVICE_START_SECONDS = 20.0


@contextmanager
def open_engine(wanted: str, folder: Path, registry: str) -> Iterator[Engine]:
    """Yield the engine that `wanted` names: `auto`, `docker`, `podman`, or a socket (`unix:///...`).

    Podman gets a service of the demo's own, told that `registry` speaks plain HTTP: Docker takes that
    for granted on loopback, Podman does not. Raises UsageError saying what to install or start.
    """
    if wanted == "podman":
        yield from _podman(folder, registry)
        return
    try:
        engine = find_engine(None if wanted in {"auto", "docker"} else wanted, os.environ)
    except EngineError as error:
        if wanted != "auto" or shutil.which("podman") is None:
            raise UsageError(f"{error}\nOn Debian or Ubuntu: apt-get install docker.io") from error
        yield from _podman(folder, registry)
        return
    if wanted in {"auto", "docker"} and engine.info().kind == "podman":
        engine.close()
        if wanted == "docker":
            raise UsageError(f"{engine.socket_path} is Podman's; give --engine podman")
        yield from _podman(folder, registry)
        return
    yield engine
    engine.close()


def _podman(folder: Path, registry: str) -> Iterator[Engine]:
    program = shutil.which("podman")
    if program is None:
        raise UsageError("there is no podman here; on Debian or Ubuntu: apt-get install podman")
    settings = folder / "registries.conf"
    settings.write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
    # A socket's path has room for a hundred letters; a person's folder for temporary files may need more.
    with tempfile.TemporaryDirectory(prefix="edgewright-", dir="/tmp") as short:
        socket = f"{short}/podman.sock"
        service = Background(
            "podman's service",
            [program, "system", "service", "--time=0", f"unix://{socket}"],
            folder / "podman.log",
            os.environ | {"CONTAINERS_REGISTRIES_CONF": str(settings)},
        )
        try:
            service.wait_for(lambda: _answering(socket), what="no answer", timeout=SERVICE_START_SECONDS)
            engine = Engine(socket)
            yield engine
            engine.close()
        finally:
            service.stop()


def _answering(socket: str) -> bool | None:
    engine = Engine(socket)
    try:
        engine.info()
    except EngineError:
        return None
    finally:
        engine.close()
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Leavings:
    """What an engine holds of certain deployments and of a registry's images, by name."""

    containers: tuple[str, ...]
    networks: tuple[str, ...]
    volumes: tuple[str, ...]
    images: tuple[str, ...]

    def __str__(self) -> str:
        counts = {
            "container": self.containers,
            "network": self.networks,
            "volume": self.volumes,
            "image": self.images,
        }
        kept = [
            f"{len(names)} {kind}{'s' if len(names) > 1 else ''}" for kind, names in counts.items() if names
        ]
        return ", ".join(kept)


def find_leavings(engine: Engine, deployments: Iterable[str], registry: str) -> Leavings:
    """Return what is there of `deployments` (ids), and of images that came from `registry`."""
    labels = [f"{DEPLOYMENT_LABEL}={identifier}" for identifier in deployments]
    return Leavings(
        containers=tuple(one.id for label in labels for one in engine.containers([label])),
        networks=tuple(one.name for label in labels for one in engine.networks([label])),
        volumes=tuple(one.name for label in labels for one in engine.volumes([label])),
        images=tuple(_images_of(engine, registry)),
    )


def remove_leavings(engine: Engine, leavings: Leavings) -> None:
    """Remove all of it; raises EngineError for what will not go."""
    for container in leavings.containers:
        engine.remove_container(container)
    for network in leavings.networks:
        engine.remove_network(network)
    for volume in leavings.volumes:
        engine.remove_volume(volume)
    with Client(f"unix://{engine.socket_path}", timeout=60.0) as client:
        for image in leavings.images:
            answer = client.request("DELETE", f"/images/{quote(image, safe='')}?force=true")
            if answer.status not in {200, 404}:
                raise EngineError(f"image {image} cannot be removed: {answer.body.decode(errors='replace')}")


def _images_of(engine: Engine, registry: str) -> Iterator[str]:
    """Yield the names under which the engine has images of `registry`."""
    import msgspec

    with Client(f"unix://{engine.socket_path}", timeout=60.0) as client:
        answer = client.request("GET", "/images/json?all=true")
    listed: list[Mapping[str, object]] = msgspec.json.decode(answer.body)
    for image in listed:
        names = [*_texts(image.get("RepoTags")), *_texts(image.get("RepoDigests"))]
        yield from dict.fromkeys(name for name in names if name.startswith(f"{registry}/"))


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
