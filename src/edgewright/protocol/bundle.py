"""Bundles: all deployment documents of one manifest in one archive (spec: DS-10, DS-11, OP-14)."""

from collections.abc import Mapping

from edgewright.protocol import yaml
from edgewright.protocol.archive import File, Limits, pack_directory_entries, read_archive
from edgewright.protocol.digests import digest_of, verify_digest
from edgewright.protocol.errors import ArchiveError
from edgewright.protocol.manifest import StateManifest


def pack_bundle(documents: Mapping[str, bytes]) -> bytes:
    """Return the bundle of deployment id to YAML bytes; the same documents always give the same bytes.

    Raises ValueError without documents: an empty bundle must not be served (spec: DS-10).
    """
    if not documents:
        raise ValueError("a bundle holds at least one deployment")
    return pack_directory_entries({f"{key}.yaml": (data, 0o644) for key, data in documents.items()})


def unpack_bundle(
    data: bytes, manifest: StateManifest, *, limits: Limits | None = None
) -> Mapping[str, bytes]:
    """Return deployment id to YAML bytes for exactly the deployments `manifest` lists.

    File names mean nothing, digests do. Raises DigestMismatchError when `data` is not the manifest's
    bundle, ArchiveError when a document is missing, unlisted or of another id, DocumentError when one
    is no YAML.
    """
    if manifest.bundle is None:
        raise ArchiveError("bundle: the manifest names none")
    source = f"bundle {manifest.bundle.digest}"
    verify_digest(data, manifest.bundle.digest, location=manifest.bundle.url)
    found: dict[str, bytes] = {}
    for path, entry in read_archive(data, source=source, limits=limits).entries.items():
        if "/" in path or not isinstance(entry, File):
            raise ArchiveError(f"{source}: entry {path!r} is not a file at the root")
        digest = digest_of(entry.data)
        if digest in found:
            raise ArchiveError(f"{source}: entry {path!r} repeats another one")
        found[digest] = entry.data
    listed = {reference.digest: reference.deployment_id for reference in manifest.deployments}
    if missing := listed.keys() - found.keys():
        raise ArchiveError(f"{source}: deployment {listed[min(missing)]} is missing")
    if len(found) > len(listed):
        raise ArchiveError(f"{source}: holds {len(found) - len(listed)} documents the manifest does not list")
    for digest, deployment_id in listed.items():
        _check_id(found[digest], deployment_id, source)
    return {reference.deployment_id: found[reference.digest] for reference in manifest.deployments}


def _check_id(data: bytes, deployment_id: str, source: str) -> None:
    document = yaml.load(data, source=f"{source}: deployment {deployment_id}")
    if not isinstance(document, dict) or document.get("id") != deployment_id:
        raise ArchiveError(f"{source}: the document listed as {deployment_id} carries another id")
