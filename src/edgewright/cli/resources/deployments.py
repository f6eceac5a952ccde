"""Deployments for one device, known by their name on it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from edgewright.cli.errors import UsageError
from edgewright.cli.output import SHORT, ago
from edgewright.cli.resources.documents import Document
from edgewright.cli.resources.kind import Change, Column, Declared, Entry, Kind, Standing, text_of

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

_DECIDED = ("device", "device_id", "application", "version", "profile", "parameters")
_FIXED = ("application", "device_id", "profile")
_SETTLED = frozenset({"converged", "failed", "removed"})


def _application(entry: Entry, _now: datetime) -> str:
    return f"{entry['application']} {entry['version']}"


def _changed(entry: Entry, now: datetime) -> str:
    return ago(entry.get("deleted") or entry.get("changed"), now)


def _said(entry: Entry, _now: datetime) -> str:
    from edgewright.cli.deployment_tables import said
    from edgewright.cli.operator import read
    from edgewright.cli.views import DeploymentView

    return said(read(entry, DeploymentView))


def _told(entry: Entry, _now: datetime) -> str:
    from edgewright.cli.operator import read
    from edgewright.cli.views import DeploymentView

    return read(entry, DeploymentView).told


def _describe(entry: Entry, now: datetime) -> None:
    from edgewright.cli.deployment_tables import print_deployment
    from edgewright.cli.operator import read
    from edgewright.cli.views import DeploymentView

    print_deployment(read(entry, DeploymentView), now)


def _document(entry: Entry) -> Document:
    spec = {name: entry[name] for name in _DECIDED if name in entry}
    status = {name: value for name, value in entry.items() if name not in {*_DECIDED, "name"}}
    return Document(kind="Deployment", metadata={"name": entry["name"]}, spec=spec, status=status)


def _path(key: str) -> str:
    from edgewright.cli.operator_client import segment

    return f"/deployments/{segment(key)}"


def _present(operator: Operator, document: Document) -> Standing | None:
    from edgewright.cli.operator import every, read
    from edgewright.cli.operator_client import segment

    device = str((document.spec or {})["device"])
    query = f"/deployments?device={segment(device)}&q={segment(document.name)}"
    same = [
        one
        for one in every(operator, query, dict[str, Any])
        if one["name"] == document.name and one.get("deleted") is None
    ]
    if not same:
        return None
    answer, tag = operator.get_tagged(_path(same[0]["id"]))
    entry: Entry = read(answer, dict)
    return Standing(entry=entry, tag=tag, document=_document(entry))


def _change(document: Document, standing: Standing | None) -> Change | None:
    spec = document.spec or {}
    parameters = spec.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise document.wrong("$.spec.parameters", "expected a mapping of parameter name to value")
    if standing is None:
        chosen = {name: spec[name] for name in _DECIDED if spec.get(name) is not None}
        value = {**chosen, "name": document.name, "parameters": parameters}
        return Change(method="POST", path="/deployments", value=value)
    present = standing.entry
    for name in _FIXED:
        if spec.get(name) not in {None, present[name]}:
            told = f"{name} of a deployment stays as it is, {present[name]}"
            raise UsageError(
                f"{document.source}: $.spec.{name}: {told}; delete it first, or give the new one another name"
            )
    gone = {name: None for name in present["parameters"] if name not in parameters}
    if spec["version"] == present["version"] and parameters == present["parameters"]:
        return None
    value = {"version": spec["version"], "parameters": {**gone, **parameters}}
    return Change(method="PUT", path=_path(present["id"]), value=value, seen=standing.tag)


KIND = Kind(
    name="deployment",
    plural="deployments",
    title="Deployment",
    path="/deployments",
    key=lambda entry: str(entry["id"]),
    path_of=_path,
    columns=(
        Column("id", lambda entry, _now: str(entry["id"])[:SHORT]),
        Column("application", _application),
        Column("device", text_of("device")),
        Column("state", _told),
        Column("changed", _changed),
        Column("what the device says", _said),
        Column("name", text_of("name"), wide=True),
        Column("assignment", text_of("assignment"), wide=True),
        Column("whole id", text_of("id"), wide=True),
    ),
    empty="No deployments yet; 'edgewright deployment create APP --device D' makes one.",
    describe=_describe,
    document=_document,
    filters=("device", "application", "version", "state", "removed", "assignment"),
    search=None,
    matches=lambda entry, given: given in {entry["application"], entry["name"]},
    settled=lambda entry: entry["state"] in _SETTLED,
    failed=lambda entry: entry["state"] == "failed",
    declared=Declared(
        present=_present,
        change=_change,
        members=frozenset(_DECIDED),
        required=frozenset({"device", "application", "version"}),
        absent=frozenset({"parameters"}),
    ),
)
