"""Puts applications and components into an OCI registry (spec: CMP-3 to CMP-5, REG-2 to REG-6).

What is published is decided from a folder's files alone, so publishing again gives the same digests.
A version that is there already is left as it is; other content under its tag is refused, unless asked for.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.cli.context import config_directory
from edgewright.cli.errors import UsageError
from edgewright.net.oci import RegistryNotFoundError, RegistryPool
from edgewright.net.registries import Registries, load_registries
from edgewright.protocol.archive import compose_root, pack_directory_entries, read_archive
from edgewright.protocol.digests import digest_of
from edgewright.protocol.media_types import OCI_MANIFEST
from edgewright.protocol.oci import EMPTY_JSON, OciReference, compose_layer, compose_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """What a registry stores: the manifest, and the blobs it names."""

    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        """The digest that names this artefact."""
        return digest_of(self.manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where an artefact is now; `new` says whether this call put it there."""

    reference: OciReference
    digest: str
    new: bool

    def __str__(self) -> str:
        done = "published" if self.new else "was there already:"
        return f"{done} {self.reference}\n  {self.digest}"


def component_artefact(
    files: Mapping[str, tuple[bytes, int]], *, name: str, version: str, about: Mapping[str, str]
) -> Artefact:
    """Return the artefact of a Compose component made of `files` (relative path to content and mode).

    `name` becomes the archive's only folder and the title, `version` is the tag; `about` are further
    annotations of the manifest. Raises ArchiveError when the result would be refused by a device.
    """
    archive = pack_directory_entries({f"{name}/{path}": entry for path, entry in files.items()})
    compose_root(read_archive(archive, source=name), source=name)
    layer = compose_layer(archive, version=version, title=name)
    return Artefact(manifest=compose_manifest(layer, annotations=about), blobs=(EMPTY_JSON, archive))


def publish(artefact: Artefact, reference: OciReference, pool: RegistryPool, *, replace: bool) -> Published:
    """Store `artefact` under `reference`, which has a tag, and return where it is.

    Raises UsageError when other content has that tag and `replace` is false, and the client's errors.
    """
    client = pool.client(reference.host)
    present = _digest_at(reference, pool)
    if present == artefact.digest:
        return Published(reference=reference, digest=artefact.digest, new=False)
    if present is not None and not replace:
        raise UsageError(
            f"{reference} is there already with other content ({present}).\n"
            "A published version should stay as it is: raise the version, or give --replace."
        )
    for blob in artefact.blobs:
        client.push_blob(reference.repository, blob)
    client.push_manifest(reference.repository, reference.target, artefact.manifest, OCI_MANIFEST)
    return Published(reference=reference, digest=artefact.digest, new=True)


def is_there(reference: OciReference, pool: RegistryPool) -> bool:
    """Return whether the registry has something under `reference`."""
    return _digest_at(reference, pool) is not None


def _digest_at(reference: OciReference, pool: RegistryPool) -> str | None:
    try:
        return pool.client(reference.host).manifest(reference.repository, reference.target).digest
    except RegistryNotFoundError:
        return None


def add_registry_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options of commands that publish."""
    usual = "~/.config/edgewright/registries.yaml"
    parser.add_argument(
        "--registries", metavar="FILE", help=f"credentials and authorities of registries ({usual})"
    )
    parser.add_argument("--replace", action="store_true", help="overwrite a version that has other content")


def registries_of(args: argparse.Namespace) -> Registries:
    """Return the registries' settings: of `--registries FILE`, which must exist, or of the usual file."""
    if args.registries is not None and not Path(args.registries).is_file():
        raise UsageError(f"{args.registries}: no such file")
    return load_registries(args.registries or str(config_directory(os.environ) / "registries.yaml"))
