"""Builds what a client is served from the documents it is to have, the same bytes for the same input."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from edgewright.protocol.bundle import pack_bundle
from edgewright.protocol.digests import digest_of
from edgewright.protocol.manifest import BundleReference, DeploymentReference, StateManifest
from edgewright.protocol.media_types import BUNDLE, bundle_path, deployment_path

# A client may be in the middle of fetching what a change has just replaced: replaced documents and bundles
# stay fetchable this long, bundles up to this number, so that many changes in a row do not fill the disk.
KEEP_SUPERSEDED = timedelta(hours=24)
KEEP_BUNDLES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltManifest:
    """A manifest's bytes with their digest, and the bundle (digest, bytes) if there is anything to deploy."""

    version: int
    body: bytes
    digest: str
    bundle: tuple[str, bytes] | None


def build_manifest(version: int, documents: Mapping[str, bytes]) -> BuiltManifest:
    """Return the manifest of `documents` (deployment id to YAML bytes, kept in order).

    Without documents the bundle is null: an empty archive is never served (spec: DS-10, DS-22).
    """
    bundle: tuple[str, bytes] | None = None
    reference: BundleReference | None = None
    if documents:
        archive = pack_bundle(documents)
        bundle = (digest_of(archive), archive)
        reference = BundleReference(
            media_type=BUNDLE, digest=bundle[0], size_bytes=len(archive), url=bundle_path(bundle[0])
        )
    manifest = StateManifest(
        manifest_version=version,
        bundle=reference,
        deployments=tuple(_reference(key, body) for key, body in documents.items()),
    )
    body = manifest.render()
    return BuiltManifest(version=version, body=body, digest=digest_of(body), bundle=bundle)


def version_after_loss(known: int, unix_seconds: int) -> int:
    """Return a version above `known` and above all that a server with a lost counter can have issued.

    Versions count changes, so a clock in seconds is always ahead of them (spec: OP-16).
    """
    return max(known + 1, unix_seconds)


def _reference(deployment_id: str, body: bytes) -> DeploymentReference:
    digest = digest_of(body)
    return DeploymentReference(
        deployment_id=deployment_id,
        digest=digest,
        size_bytes=len(body),
        url=deployment_path(deployment_id, digest),
    )
