"""Devices: what people decide of one is its labels."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from edgewright.cli.output import ago, moment
from edgewright.cli.resources.documents import Document
from edgewright.cli.resources.kind import (
    Change,
    Column,
    Declared,
    Entry,
    Kind,
    Standing,
    plain,
    standing_at,
    time_of,
)

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator


def _state(entry: Entry, _now: datetime) -> str:
    said = entry.get("said")
    state = str(entry["state"])
    return state if said is None or said == state else f"{state} (was {said})"


def _heard(entry: Entry, now: datetime) -> str:
    last = ago(entry.get("last_contact"), now)
    until = (entry.get("contact") or {}).get("until")
    return last if until is None else f"{last}, again {ago(until, now)}"


def _counted(entry: Entry, _now: datetime) -> str:
    counts = entry.get("deployments") or {}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"


def _running(entry: Entry, _now: datetime) -> str:
    found = entry.get("running") or []
    return ", ".join(f"{one['application']} {one['version']}" for one in found)


def _certificate(entry: Entry, _now: datetime) -> str:
    return moment(entry.get("svid_expires"))


def _labels(entry: Entry, _now: datetime) -> str:
    return plain(entry.get("labels") or {})


def _describe(entry: Entry, now: datetime) -> None:
    from edgewright.cli.device import print_device
    from edgewright.cli.operator import read
    from edgewright.cli.views import DeviceDetailView

    print_device(read(entry, DeviceDetailView), now)


def _document(entry: Entry) -> Document:
    labels = dict(entry.get("own_labels") or {})
    status = {name: value for name, value in entry.items() if name not in {"client_id", "own_labels"}}
    return Document(
        kind="Device", metadata={"name": entry["client_id"], "labels": labels}, status=status, source="server"
    )


def _path(key: str) -> str:
    from edgewright.cli.operator_client import segment

    return f"/devices/{segment(key)}"


def _present(operator: Operator, document: Document) -> Standing:
    from edgewright.cli.errors import UsageError

    standing = standing_at(operator, _path(document.name), _document)
    if standing is None:
        told = f"{document.source}: there is no device '{document.name}'; a device becomes known by enrolling"
        raise UsageError(f"{told} ('edgewright enrollment create {document.name}')")
    return standing


def _change(document: Document, standing: Standing | None) -> Change | None:
    wanted = document.metadata.get("labels")
    if standing is None or wanted is None:
        return None
    if not isinstance(wanted, dict) or not all(isinstance(value, str) for value in wanted.values()):
        raise document.wrong("$.metadata.labels", "expected a mapping of texts; put numbers in quotes")
    present = standing.document.metadata["labels"]
    gone = {name: None for name in present if name not in wanted}
    if wanted == present:
        return None
    return Change(
        method="PATCH", path=_path(document.name), value={"labels": {**gone, **wanted}}, seen=standing.tag
    )


KIND = Kind(
    name="device",
    plural="devices",
    title="Device",
    path="/devices",
    key=lambda entry: str(entry["client_id"]),
    path_of=_path,
    columns=(
        Column("device", lambda entry, _now: str(entry["client_id"])),
        Column("state", _state),
        Column("last heard of", _heard),
        Column("deployments", _counted),
        Column("labels", _labels, wide=True),
        Column("running", _running, wide=True),
        Column("certificate until", _certificate, wide=True),
        Column("known since", time_of("created"), wide=True),
    ),
    empty="No devices yet; 'edgewright enrollment create NAME' invites one.",
    describe=_describe,
    document=_document,
    filters=("state", "said", "contact", "application", "version", "sort"),
    selector="selector",
    ends="retired",
    declared=Declared(present=_present, change=_change, members=frozenset()),
)
