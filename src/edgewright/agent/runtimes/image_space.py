"""How much room images take, asked of their registry before they are downloaded, and whether there is."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from edgewright.agent.runtimes import StorageFullError
from edgewright.agent.runtimes.engine import Engine, registry_of, with_tag
from edgewright.agent.runtimes.images import repository_of
from edgewright.agent.state import reserve
from edgewright.net.oci import RegistryClient, RegistryPool
from edgewright.protocol.errors import EdgewrightError

RESERVE_BYTES = 16 * 1024 * 1024  # what an engine and its neighbours need for going on at all
MAX_CONFIGURATION_BYTES = 4 * 1024 * 1024


def check_space(path: str, needed: int, what: str) -> None:
    """Raise StorageFullError, naming both numbers, if `needed` bytes have no room where `path` is."""
    free = free_bytes(path)
    if free is not None and free < needed + RESERVE_BYTES:
        raise StorageFullError(
            f"no room for {what}: {needed + RESERVE_BYTES} bytes needed, {free} bytes free in {path}"
        )


def free_bytes(path: str) -> int | None:
    """Return how many bytes can be written where `path` is; None if that is no place on this machine."""
    try:
        return reserve.free_bytes(path)
    except OSError:
        return None


class ImageSpace:
    """Checks that images have room on the engine's disk; a registry that does not answer is no obstacle."""

    def __init__(self, engine: Engine, pool: RegistryPool) -> None:
        self._engine = engine
        self._pool = pool

    def check(self, images: Iterable[tuple[str, str | None]]) -> None:
        """Raise StorageFullError if `images`, (reference, platform or None) each, have no room together.

        A layer is needed twice, as it comes and unpacked; how much larger it gets nobody tells beforehand.
        """
        wanted = list(images)
        root = self._engine.data_root()
        free = free_bytes(root)
        if not wanted or free is None:
            return
        layers: dict[str, int] = {}
        for reference, platform in wanted:
            layers.update(self._layers(reference, platform, frozenset()))
        if free < 2 * sum(layers.values()) + RESERVE_BYTES:
            here = self._layers_here()
            layers = {}
            for reference, platform in wanted:
                layers.update(self._layers(reference, platform, here))
        names = ", ".join(reference for reference, _ in wanted)
        check_space(root, 2 * sum(layers.values()), names)

    def _layers(self, reference: str, platform: str | None, here: frozenset[str]) -> Mapping[str, int]:
        """Return the packed size of each layer by digest, without those `here`; {} if nobody tells."""
        host = registry_of(reference)
        repository = repository_of(reference).removeprefix(f"{host}/")
        named = with_tag(reference)
        target = named.partition("@")[2] or named.rpartition(":")[2]
        try:
            client = self._pool.client(host)
            manifest = self._manifest(client, repository, target, platform)
            layers = [(str(one["digest"]), int(one["size"])) for one in manifest["layers"]]
            if here:
                layers = self._missing(client, repository, manifest, layers, here)
        except (EdgewrightError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return dict(layers)

    def _manifest(self, client: RegistryClient, repository: str, target: str, platform: str | None) -> Any:
        manifest = json.loads(client.manifest(repository, target).data)
        if "manifests" not in manifest:
            return manifest
        system, _, rest = (platform or f"linux/{self._engine.architecture()}").partition("/")
        architecture = rest.partition("/")[0]
        fitting = next(
            one
            for one in [*manifest["manifests"], {}]
            if not one
            or (one.get("platform", {}).get("os"), one.get("platform", {}).get("architecture"))
            == (system, architecture)
        )
        return json.loads(client.manifest(repository, fitting["digest"]).data)

    def _missing(
        self,
        client: RegistryClient,
        repository: str,
        manifest: Any,
        layers: list[tuple[str, int]],
        here: frozenset[str],
    ) -> list[tuple[str, int]]:
        digest = manifest["config"]["digest"]
        configuration = json.loads(client.blob(repository, digest, limit=MAX_CONFIGURATION_BYTES))
        unpacked = configuration["rootfs"]["diff_ids"]
        return [layer for layer, known in zip(layers, unpacked, strict=True) if known not in here]

    def _layers_here(self) -> frozenset[str]:
        images = (self._engine.image(found) for found in self._engine.image_ids())
        return frozenset(layer for image in images if image is not None for layer in image.layers)
