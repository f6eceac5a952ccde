"""Imports application packages from OCI registries (spec: REG-1 to REG-7). Blocking: run it in a thread."""

import json
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgewright.net.oci import RegistryClient
from edgewright.net.registries import load_registries
from edgewright.protocol.description import ApplicationDescription
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.media_types import (
    APP_ARTIFACT,
    APP_DESCRIPTION_LAYER,
    APP_RESOURCE_ANNOTATION,
    OCI_TITLE_ANNOTATION,
)
from edgewright.protocol.oci import Descriptor, ImageManifest, OciReference, parse_manifest
from edgewright.server.domain.packages import DESCRIPTION_FILE, Package, make_package

MAX_DESCRIPTION_BYTES = 1 << 20
MAX_RESOURCE_BYTES = 32 << 20


class NoPackageError(DocumentError):
    """What a registry has there is another kind of artefact, such as an image or a component."""

    code = "package.other-artefact"


def import_package(reference: OciReference, registries: Path) -> Package:
    """Fetch a package, reaching its registry as the file `registries` says; see `fetch_package`."""
    settings = load_registries(str(registries)).settings(reference.host)
    with RegistryClient(reference.host, settings) as registry:
        return fetch_package(registry, reference)


def fetch_package(registry: RegistryClient, reference: OciReference) -> Package:
    """Fetch a package; only the files its description names are fetched, every one checked by its digest.

    Raises `NoPackageError` for another artefact, `DocumentError` for a package that is not as it should be,
    and the errors of `net.oci`.
    """
    source = str(reference)
    manifest = _manifest(registry, reference, source)
    layer = manifest.only_layer(APP_DESCRIPTION_LAYER, source=source)
    text = registry.blob(reference.repository, layer.digest, limit=MAX_DESCRIPTION_BYTES)
    description = ApplicationDescription.parse(text, source=f"{source}: {DESCRIPTION_FILE}")
    _check_tag(reference, description)
    files = {
        path: registry.blob(reference.repository, blob.digest, limit=MAX_RESOURCE_BYTES)
        for path, blob in _resources(manifest, description.resources)
    }
    return make_package(text, files, source=source)


def _manifest(registry: RegistryClient, reference: OciReference, source: str) -> ImageManifest:
    fetched = registry.manifest(reference.repository, reference.target)
    try:
        manifest = parse_manifest(fetched.data, source=source)
    except DocumentError as error:
        if _is_index(fetched.data):
            message = f"expected {APP_ARTIFACT}, found an image index"
            raise NoPackageError(message, source=source, path="$.mediaType") from error
        raise
    if manifest.artifact_type != APP_ARTIFACT:
        message = f"expected {APP_ARTIFACT}, found {manifest.artifact_type or 'none'}"
        raise NoPackageError(message, source=source, path="$.artifactType")
    return manifest


def _is_index(data: bytes) -> bool:
    """Whether a manifest lists others, as images for several architectures do."""
    try:
        content = json.loads(data)
    except ValueError:
        return False
    return isinstance(content, dict) and isinstance(content.get("manifests"), list)


class OtherVersionError(DocumentError):
    """A tag that is not the version inside (spec: REG-6, OP-28); `version` is."""

    code = "package.other-version"

    def __init__(self, tag: str, version: str, *, source: str) -> None:
        super().__init__(
            f"the package's version is {version}, its tag has to be the same",
            source=source,
            path="$.metadata.version",
        )
        self.tag = tag
        self.version = version


def _check_tag(reference: OciReference, description: ApplicationDescription) -> None:
    """Refuse a tag that is not the version inside (spec: REG-6, OP-28)."""
    version = description.metadata.version
    if reference.tag is not None and reference.tag != version:
        raise OtherVersionError(reference.tag, version, source=str(reference))


def _resources(manifest: ImageManifest, named: Mapping[str, str]) -> Iterator[tuple[str, Descriptor]]:
    """Yield path and layer of each file the description names (role to path).

    A layer is found by its title, else by its role; neither is certain to be there (spec: REG-5, OP-29).
    """
    by_title: dict[str, Descriptor] = {}
    by_role: dict[str, Descriptor] = {}
    for layer in manifest.layers:
        if title := layer.annotations.get(OCI_TITLE_ANNOTATION):
            by_title.setdefault(posixpath.normpath(title), layer)
        by_role.setdefault(_role_of(layer), layer)
    for role, path in named.items():
        found = by_title.get(path) or by_role.get(role)
        if found is not None:
            yield path, found


def _role_of(layer: Descriptor) -> str:
    """Return which resource a layer says it is, by annotation or by media type (spec: REG-4)."""
    of_type = layer.media_type.removeprefix("application/vnd.margo.app.").partition(".")[0]
    return layer.annotations.get(APP_RESOURCE_ANNOTATION) or of_type
