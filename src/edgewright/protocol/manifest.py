"""The State Manifest: every deployment assigned to one client, by digest (spec: 9.1)."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from edgewright.protocol import media_types
from edgewright.protocol.digests import check_digest
from edgewright.protocol.documents import MAX_U64, Document, Part, Uuid, Violation
from edgewright.protocol.errors import DigestError

ManifestVersion = Annotated[int, msgspec.Meta(ge=1)]
Size = Annotated[int, msgspec.Meta(ge=0)]


class BundleReference(Part, frozen=True, kw_only=True):
    """Where the archive of all deployments is; `size_bytes` is advice, never a check."""

    media_type: str
    digest: str
    url: str
    size_bytes: Size | None = None


class DeploymentReference(Part, frozen=True, kw_only=True):
    """Where one deployment document is; `size_bytes` is advice, never a check."""

    deployment_id: Uuid
    digest: str
    url: str
    size_bytes: Size | None = None


class StateManifest(Document, frozen=True, kw_only=True):
    """One version of a client's desired state; `bundle` is None exactly when nothing is deployed."""

    manifest_version: ManifestVersion
    bundle: BundleReference | None
    deployments: tuple[DeploymentReference, ...]

    def violations(self) -> Iterator[Violation]:
        """Yield what the types cannot say: 64 bits, digests, URLs, bundle and deployments agreeing."""
        yield from check_version(self.manifest_version, "$.manifestVersion")
        if (self.bundle is None) != (not self.deployments):
            yield "$.bundle", "has to be null exactly when deployments is empty"
        if self.bundle is not None:
            if self.bundle.media_type != media_types.BUNDLE:
                yield "$.bundle.mediaType", f"expected {media_types.BUNDLE}"
            yield from _check_reference(self.bundle, "$.bundle", f"/bundles/{self.bundle.digest}")
        seen: set[str] = set()
        for index, reference in enumerate(self.deployments):
            path = f"$.deployments[{index}]"
            if reference.deployment_id.lower() in seen:
                yield f"{path}.deploymentId", f"{reference.deployment_id} is listed twice"
            seen.add(reference.deployment_id.lower())
            yield from _check_reference(
                reference, path, f"/deployments/{reference.deployment_id}/{reference.digest}"
            )


def check_version(version: int, path: str) -> Iterator[Violation]:
    """Yield a violation when `version` does not fit 64 bits (spec: OP-15)."""
    if version > MAX_U64:
        yield path, f"expected an integer from 1 to {MAX_U64}"


def _check_reference(
    reference: BundleReference | DeploymentReference, path: str, ending: str
) -> Iterator[Violation]:
    try:
        check_digest(reference.digest)
    except DigestError as error:
        yield f"{path}.digest", str(error)
    if not reference.url.startswith("/api/v1/") or not reference.url.endswith(ending):
        yield f"{path}.url", f"expected a path from /api/v1/ ending in {ending}"
    elif ".." in reference.url.split("/"):
        yield f"{path}.url", "expected a path without '..'"
    if reference.size_bytes is not None and reference.size_bytes > MAX_U64:
        yield f"{path}.sizeBytes", f"expected an integer up to {MAX_U64}"
