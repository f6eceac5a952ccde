"""Suggested policies: one per device, and one for all devices that have none of their own, called `*`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edgewright.cli.output import moment
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
from edgewright.protocol import yaml

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

EVERYBODY = "*"


def _key(entry: Entry) -> str:
    return str(entry.get("device") or EVERYBODY)


def _path(key: str) -> str:
    from edgewright.cli.operator_client import segment

    return "/policy" if key == EVERYBODY else f"/devices/{segment(key)}/policy"


def _spec(entry: Entry) -> Mapping[str, Any]:
    found = yaml.load(str(entry["text"]).encode(), source=f"policy of {_key(entry)}")
    return found if isinstance(found, dict) else {}


def _says(entry: Entry, _now: datetime) -> str:
    return ", ".join(_spec(entry))


def _describe(entry: Entry, _now: datetime) -> None:
    whom = entry.get("device") or "all devices without one of their own"
    print(f"# suggested to {whom} by {entry['by']}, {moment(entry['suggested'])}, tag {entry['tag']}")
    print(str(entry["text"]).rstrip())


def _document(entry: Entry) -> Document:
    status = {name: entry[name] for name in ("tag", "suggested", "by")}
    return Document(kind="Policy", metadata={"name": _key(entry)}, spec=_spec(entry), status=status)


def _present(operator: Operator, document: Document) -> Standing | None:
    standing = standing_at(operator, _path(document.name), _document)
    # A device without its own is shown the one for all.
    return standing if standing is not None and _key(standing.entry) == document.name else None


def _change(document: Document, standing: Standing | None) -> Change | None:
    from edgewright.protocol.media_types import YAML
    from edgewright.protocol.policy import parse_layer

    spec = document.spec or {}
    text = yaml.dump(spec)
    parse_layer(text, source=f"{document.source}, spec")
    if standing is not None and dict(standing.document.spec or {}) == dict(spec):
        return None
    seen = None if standing is None else standing.tag
    return Change(method="PUT", path=_path(document.name), value=text, seen=seen, media_type=YAML)


KIND = Kind(
    name="policy",
    plural="policies",
    title="Policy",
    path="/policies",
    key=_key,
    path_of=_path,
    columns=(
        Column("device", lambda entry, _now: _key(entry)),
        Column("says", _says),
        Column("suggested", time_of("suggested")),
        Column("by", text_of("by")),
        Column("tag", text_of("tag"), wide=True),
    ),
    empty="No policy is suggested; 'edgewright device policy suggest --all FILE' does that.",
    describe=_describe,
    document=_document,
    search=None,
    ends="withdrawn",
    declared=Declared(present=_present, change=_change, members=frozenset(), whole=True),
)
