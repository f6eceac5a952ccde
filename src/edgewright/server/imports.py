"""Imports application packages from OCI registries (spec: REG-1 to REG-7). Blocking: run it in a thread."""

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


def import_package(reference: OciReference, registries: Path) -> Package:
    """Fetch a package; only the files its description names are fetched, every one checked by its digest.

    Raises `DocumentError` for a package that is not as it should be, and the errors of `net.oci`.
    """
    source = str(reference)
    settings = load_registries(str(registries)).settings(reference.host)
    with RegistryClient(reference.host, settings) as registry:
        manifest = parse_manifest(
            registry.manifest(reference.repository, reference.target).data, source=source
        )
        if manifest.artifact_type != APP_ARTIFACT:
            message = f"expected {APP_ARTIFACT}, found {manifest.artifact_type or 'none'}"
            raise DocumentError(message, source=source, path="$.artifactType")
        layer = manifest.only_layer(APP_DESCRIPTION_LAYER, source=source)
        text = registry.blob(reference.repository, layer.digest, limit=MAX_DESCRIPTION_BYTES)
        description = ApplicationDescription.parse(text, source=f"{source}: {DESCRIPTION_FILE}")
        _check_tag(reference, description)
        files = {
            path: registry.blob(reference.repository, blob.digest, limit=MAX_RESOURCE_BYTES)
            for path, blob in _resources(manifest, description.resources)
        }
    return make_package(text, files, source=source)


def _check_tag(reference: OciReference, description: ApplicationDescription) -> None:
    """Refuse a tag that is not the version inside (spec: REG-6, OP-28)."""
    version = description.metadata.version
    if reference.tag is not None and reference.tag != version:
        raise DocumentError(
            f"the package's version is {version}, its tag has to be the same",
            source=str(reference),
            path="$.metadata.version",
        )


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
