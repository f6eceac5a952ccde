"""Brings a Compose component onto the device: archive, resolved file, images, in this order.

A component's directory holds `project/` (the archive's content), `resolved.json` (what is run, with the
parameters in it, so for our eyes only) and, written last, `fetched.json`: with it, everything is here.

What was fetched once is pinned: the archive by its manifest's digest, each image by the engine's identity of
it. Whatever of it goes missing later comes again by these, whatever the tags stand for then.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgewright.agent.runtimes import (
    Component,
    ComponentInvalidError,
    EngineError,
    FetchedWrongError,
    FetchError,
    StorageFullError,
)
from edgewright.agent.runtimes.compose_program import ComposeProgram, ProgramTimeoutError
from edgewright.agent.runtimes.compose_project import (
    Project,
    authored_environment,
    build_project,
    check_environment,
    check_files,
    parameter_file,
    probe_file,
    project_name,
    read_configuration,
    secret_parameters,
)
from edgewright.agent.runtimes.engine import Engine
from edgewright.agent.runtimes.files import (
    is_full_disk,
    materialise,
    remove_tree,
    tells_of_full_disk,
    write_whole,
)
from edgewright.agent.runtimes.image_fetch import ImageFetcher
from edgewright.agent.runtimes.image_space import check_space
from edgewright.agent.runtimes.images import ImageKeeper, Pin
from edgewright.agent.runtimes.integrity import file_damage, hash_files
from edgewright.net.oci import RegistryError, RegistryPool
from edgewright.net.registries import Registries
from edgewright.protocol.archive import compose_root, read_archive
from edgewright.protocol.errors import (
    ArchiveError,
    DigestError,
    DigestMismatchError,
    DocumentError,
)
from edgewright.protocol.media_types import COMPOSE_ARTIFACT, COMPOSE_LAYER
from edgewright.protocol.oci import Descriptor, OciReference, parse_manifest

MAX_ARCHIVE_BYTES = 64 * 1024 * 1024
CONFIG_SECONDS = 60.0
FETCHED_FILES = ("project", "resolved.json", "secrets.env")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What `fetched.json` says.

    `request` stands for what was asked for, `content` for the files that came, `inputs` for everything the
    containers are made from: where that is the same, starting again would change nothing. `services` maps
    service name to its number of containers, `images` service name to (image, platform or None, pull policy).
    `uses_directory` says whether something that runs reads files of the component's directory. `manifest` is
    the digest the component was fetched by, `files` what its files have to be (`integrity`), `pins` what each
    service's image was.
    """

    request: str
    content: str
    inputs: str
    services: Mapping[str, int]
    images: Mapping[str, tuple[str, str | None, str]]
    uses_directory: bool
    manifest: str
    files: Mapping[str, str]
    pins: Mapping[str, Pin]

    def image_ids(self) -> frozenset[str]:
        """Return the identities of all its images."""
        return frozenset(pin.id for pin in self.pins.values())


class Fetcher:
    """Fetches Compose components with one connection to each registry."""

    def __init__(
        self,
        engine: Engine,
        program: ComposeProgram,
        registries: Registries,
        *,
        owner: str,
        keeper: ImageKeeper,
    ) -> None:
        self._engine = engine
        self._program = program
        self._owner = owner
        self._pool = RegistryPool(registries)
        self._images = ImageFetcher(engine, registries, self._pool, keeper)

    def close(self) -> None:
        """Close the connections to the registries."""
        self._pool.close()

    def fetch(self, component: Component) -> None:
        """Bring everything here; without a single request to a registry if everything is."""
        known = load_fetched(component)
        if known is None or file_damage(component.directory, known.files) is not None:
            fetched = self._fetch_files(component, known)
        else:
            fetched = known
        pins = self._images.fetch(fetched.images, known.pins if known else {})
        identities = [f"{service}={pin.id}" for service, pin in sorted(pins.items())]
        done = replace(fetched, pins=pins, inputs=_digest(fetched.content, *identities))
        if done != known:
            write_whole(_marker(component), json.dumps(asdict(done), indent=1).encode())

    def check_replacements(self, images: Iterable[Pin]) -> None:
        """Raise FetchError unless every one of `images` can be had again from its registry now."""
        self._images.check_replacements(images)

    def _fetch_files(self, component: Component, known: Fetched | None) -> Fetched:
        check_environment(component.environment)
        os.makedirs(component.directory, exist_ok=True)
        try:
            return self._fetched_files(component, known)
        except OSError as error:
            if is_full_disk(error) and known is None:
                remove_tree(component.directory)
            raise

    def _fetched_files(self, component: Component, known: Fetched | None) -> Fetched:
        manifest, layer = self._fetch_archive(component, known.manifest if known else None)
        project = self._resolve(component)
        document = project.document.decode()
        return Fetched(
            request=_request(component),
            content=_digest(layer, document.replace(component.directory, "@")),
            inputs="",
            services=project.services,
            images=project.images,
            uses_directory=component.directory in document,
            manifest=manifest,
            files=hash_files(component.directory, FETCHED_FILES),
            pins={},
        )

    # --- the archive --------------------------------------------------------------------------------

    def _fetch_archive(self, component: Component, digest: str | None) -> tuple[str, str]:
        """Materialise the component's archive; return the digests of its manifest and of itself.

        `digest` names the manifest in place of the tag, if it was here before.
        """
        try:
            return self._checked_archive(component, digest)
        except DigestMismatchError as error:
            raise FetchedWrongError(str(error)) from error
        except (DigestError, DocumentError, ArchiveError) as error:
            raise ComponentInvalidError(str(error)) from error
        except RegistryError as error:
            raise FetchError(str(error)) from error

    def _checked_archive(self, component: Component, digest: str | None) -> tuple[str, str]:
        reference = OciReference.parse(component.repository)
        if reference.digest is None:
            reference = reference.with_tag(component.version)
        registry = self._pool.client(reference.host)
        manifest = registry.manifest(reference.repository, digest or reference.target)
        layer = component_layer(manifest.data, source=str(reference))
        check_space(component.directory, 2 * layer.size, str(reference))
        path = f"{component.directory}/archive.tgz"
        registry.blob_to_file(reference.repository, layer.digest, path, limit=MAX_ARCHIVE_BYTES)
        with open(path, "rb") as file:
            archive = read_archive(file.read(), source=str(reference))
        materialise(archive, compose_root(archive, source=str(reference)), f"{component.directory}/project")
        os.unlink(path)
        return manifest.digest, layer.digest

    # --- the Compose file ---------------------------------------------------------------------------

    def _resolve(self, component: Component) -> Project:
        """Let the Compose program read compose.yaml, and write what `up` is going to read."""
        parameters = f"{component.directory}/parameters.env"
        probe = f"{component.directory}/probe.json"
        write_whole(parameters, parameter_file(component.environment))
        write_whole(probe, probe_file(component.environment))
        try:
            resolved = self._config(component, f"--file={probe}")
            uninterpolated = self._config(component, last=("--no-interpolate",))
        finally:
            for path in (parameters, probe):
                with suppress(FileNotFoundError):
                    os.unlink(path)
        try:
            configuration = read_configuration(resolved, component.environment)
            written = json.loads(uninterpolated)
            check_files(configuration, written, home=f"{component.directory}/project")
            project = build_project(
                configuration, authored_environment(written), component, owner=self._owner
            )
            secrets = secret_parameters(configuration, component.environment)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{self._program.path}: what it makes of compose.yaml is not understood ({error!r})"
            raise EngineError(message) from error
        write_whole(f"{component.directory}/secrets.env", parameter_file(secrets))
        write_whole(f"{component.directory}/resolved.json", project.document)
        return project

    def _config(self, component: Component, *options: str, last: tuple[str, ...] = ()) -> bytes:
        """Run `config`, with nothing at all in the environment that a variable could be taken from."""
        home = f"{component.directory}/project"
        defaults = [f"--env-file={home}/.env"] if os.path.isfile(f"{home}/.env") else []
        arguments = [
            f"--project-name={project_name(*component.key)}",
            f"--project-directory={home}",
            f"--file={home}/compose.yaml",
            *options,
            *defaults,
            f"--env-file={component.directory}/parameters.env",
            *("config", "--format=json"),
            *last,
        ]
        try:
            done = self._program.run(arguments, environment={}, timeout=CONFIG_SECONDS)
        except ProgramTimeoutError as error:
            raise FetchError("the Compose program did not get done reading compose.yaml") from error
        if done.code and tells_of_full_disk(done.reason):
            raise StorageFullError(done.reason)
        if done.code:
            raise ComponentInvalidError(f"compose.yaml: {_without(done.reason, home)}")
        return done.output


def component_layer(manifest: bytes, *, source: str) -> Descriptor:
    """Return the layer of a Compose component's manifest (spec: CMP-3).

    An artefact that says it is something else is refused. One that does not say is taken by its layer, as
    older tools push no artefact type; annotations describe and decide nothing.
    """
    parsed = parse_manifest(manifest, source=source)
    if parsed.artifact_type not in (None, COMPOSE_ARTIFACT):
        message = f"expected {COMPOSE_ARTIFACT}, found {parsed.artifact_type}"
        raise DocumentError(message, source=source, path="$.artifactType")
    layer = parsed.only_layer(COMPOSE_LAYER, source=source)
    if layer.size > MAX_ARCHIVE_BYTES:
        message = f"expected at most {MAX_ARCHIVE_BYTES} bytes, found {layer.size}"
        raise DocumentError(message, source=source, path="$.layers")
    return layer


def load_fetched(component: Component) -> Fetched | None:
    """Load what says that everything of `component` is here; None if it is not, or not of exactly this."""
    try:
        with open(_marker(component), "rb") as file:
            told: dict[str, Any] = json.load(file)
        images = {
            service: (image, platform, policy)
            for service, (image, platform, policy) in told["images"].items()
        }
        pins = {service: Pin(**pin) for service, pin in told["pins"].items()}
        fetched = Fetched(**{**told, "images": images, "pins": pins})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return fetched if fetched.request == _request(component) else None


def _without(reason: str, home: str) -> str:
    """Return the program's words without where the files are on this device, which tells nobody anything."""
    return reason.replace(f"{home}/", "").removeprefix("compose.yaml: ")


def _marker(component: Component) -> str:
    return f"{component.directory}/fetched.json"


def _request(component: Component) -> str:
    environment = json.dumps(sorted(component.environment.items()))
    return _digest(*component.key, component.repository, component.version, environment)


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
