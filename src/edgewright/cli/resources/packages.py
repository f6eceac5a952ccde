"""Application packages: what people decide of one is where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from edgewright.cli.errors import UsageError
from edgewright.cli.resources.documents import Document
from edgewright.cli.resources.kind import (
    Change,
    Column,
    Declared,
    Entry,
    Kind,
    Standing,
    standing_at,
    text_of,
    time_of,
)

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

_FROM_REGISTRY = "oci://"


def _key(entry: Entry) -> str:
    return f"{entry['id']}@{entry['version']}"


def _path(key: str) -> str:
    from edgewright.cli.versions import package_path

    name, _, version = key.partition("@")
    return package_path(name, version or "-")


def _newest(keys: Sequence[str]) -> str:
    from edgewright.cli.versions import precedence

    return max(keys, key=lambda key: precedence(key.partition("@")[2]))


def _describe(entry: Entry, _now: datetime) -> None:
    from edgewright.cli.operator import read
    from edgewright.cli.package_tables import print_package
    from edgewright.cli.views import PackageView

    print_package(read(entry, PackageView))


def _document(entry: Entry) -> Document:
    reference = str(entry.get("source") or "")
    spec = {"application": entry["id"], "version": entry["version"]}
    if reference.startswith(_FROM_REGISTRY):
        spec["reference"] = reference
    status = {name: value for name, value in entry.items() if name not in {"id", "version"}}
    return Document(kind="Package", metadata={"name": _key(entry)}, spec=spec, status=status)


def _present(operator: Operator, document: Document) -> Standing | None:
    spec = document.spec or {}
    return standing_at(operator, _path(f"{spec['application']}@{spec['version']}"), _document)


def _change(document: Document, standing: Standing | None) -> Change | None:
    if standing is not None:
        return None
    reference = (document.spec or {}).get("reference")
    if not isinstance(reference, str) or not reference.startswith(_FROM_REGISTRY):
        raise UsageError(
            f"{document.source}: {document.title} is not here, and spec.reference does not say where to get"
            " it (oci://HOST/REPOSITORY:VERSION); 'edgewright package import FOLDER' brings one from a folder"
        )
    return Change(method="POST", path="/packages/import", value={"reference": reference})


KIND = Kind(
    name="package",
    plural="packages",
    title="Package",
    path="/packages",
    key=_key,
    path_of=_path,
    columns=(
        Column("id", text_of("id")),
        Column("version", text_of("version")),
        Column("name", text_of("name")),
        Column("imported", time_of("imported")),
        Column("from", text_of("source"), wide=True),
        Column("digest", text_of("digest"), wide=True),
    ),
    empty="No packages yet; 'edgewright package import FOLDER' brings one.",
    describe=_describe,
    document=_document,
    filters=("application",),
    search=None,
    matches=lambda entry, given: entry["id"] == given,
    pick=_newest,
    declared=Declared(
        present=_present,
        change=_change,
        members=frozenset({"application", "version", "reference"}),
        required=frozenset({"application", "version"}),
    ),
)
