"""Assignments: an application for many devices, with values for all, for groups and for single ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edgewright.cli.output import print_facts, print_table
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
    text_of,
    time_of,
)

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator
    from edgewright.cli.resources.asking import Asked

_MEMBERS = ("version", "profile", "target", "parameters", "groups", "devices", "strategy")
_SHOWN = {"name", "application", "spec", "version", "target"}
_MOST_DEVICES = 50
# In this order devices are named: what needs a look comes first.
_ACTIONS = {
    "misfit": "does not fit",
    "remove": "to remove",
    "change": "to change",
    "create": "to create",
}


def _path(key: str) -> str:
    from edgewright.cli.operator_client import segment

    return f"/assignments/{segment(key)}"


def _target(entry: Entry, _now: datetime) -> str:
    return target_text((entry.get("spec") or entry).get("target") or {})


def target_text(target: Mapping[str, Any]) -> str:
    """Return for which devices an assignment is, in few words."""
    if target.get("devices") is not None:
        names = target["devices"]
        return names[0] if len(names) == 1 else f"{len(names)} devices"
    return str(target.get("selector") or "all devices")


def _counted(entry: Entry, _now: datetime) -> str:
    counts = entry.get("deployments") or {}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"


def _describe(entry: Entry, now: datetime) -> None:
    spec = entry["spec"]
    strategy = spec.get("strategy") or {}
    devices = spec["target"].get("devices") or ()
    print_facts(
        [
            ("assignment", str(entry["name"])),
            ("application", f"{entry['application']} {spec['version']}"),
            ("profile", str(spec.get("profile") or "")),
            ("for", _target(entry, now)),
            ("devices", ", ".join(devices) if len(devices) > 1 else ""),
            ("revision", f"{entry['revision']}, by {entry['by']}, {time_of('changed')(entry, now)}"),
            ("because", str(entry.get("reason") or "")),
            ("deployments", _counted(entry, now)),
            ("strategy", "\n".join(f"{name}: {plain(value)}" for name, value in strategy.items())),
        ]
    )
    layers = [
        ("all", spec.get("parameters") or {}),
        *((group["selector"], group["parameters"]) for group in spec.get("groups") or ()),
        *((spec.get("devices") or {}).items()),
    ]
    rows = [(whom, name, plain(value)) for whom, values in layers for name, value in values.items()]
    if rows:
        print()
        print_table(["for", "parameter", "value"], rows, empty="")


def _more(operator: Operator, entry: Entry, now: datetime) -> None:
    from edgewright.cli.operator import every
    from edgewright.cli.operator_client import segment
    from edgewright.cli.resources.rollouts import KIND as ROLLOUT
    from edgewright.cli.resources.tables import print_entries

    found = every(operator, f"/rollouts?assignment={segment(str(entry['name']))}", dict[str, Any])
    if found:
        print()
        print_entries(ROLLOUT, found[:5], now, is_wide=False)


def _document(entry: Entry) -> Document:
    spec = {"application": entry["application"], **entry["spec"]}
    status = {name: value for name, value in entry.items() if name not in _SHOWN}
    return Document(kind="Assignment", metadata={"name": entry["name"]}, spec=spec, status=status)


def _present(operator: Operator, document: Document) -> Standing | None:
    return standing_at(operator, _path(document.name), _document)


def said(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a specification says, without members that say nothing and blanks around selectors."""
    found = {name: _trimmed(value) for name, value in spec.items()}
    return {name: value for name, value in found.items() if value not in (None, {}, [], "")}


def _trimmed(value: Any) -> Any:
    match value:
        case {"selector": str(selector)}:
            return {**value, "selector": selector.strip()}
        case list():
            return [_trimmed(one) for one in value]
    return value


def _change(document: Document, standing: Standing | None) -> Change | None:
    spec = dict(document.spec or {})
    if standing is not None and said(standing.document.spec or {}) == said(spec):
        return None
    seen = None if standing is None else standing.tag
    return Change(method="PUT", path=_path(document.name), value=said(spec), seen=seen)


def _preview(operator: Operator, document: Document) -> Sequence[str]:
    """Return how many devices would be touched, and what would become of each of them."""
    from edgewright.cli.operator import read

    path = f"{_path(document.name)}/preview?limit={_MOST_DEVICES}"
    spec = said(document.spec or {})
    answer: dict[str, Any] = read(operator.post(path, spec), dict)
    counts = {action: count for action, count in answer["counts"].items() if count}
    touched: list[Mapping[str, Any]] = []
    for action in _ACTIONS:
        if counts.get(action) and len(touched) < _MOST_DEVICES:
            some: dict[str, Any] = read(operator.post(f"{path}&action={action}", spec), dict)
            touched += some["devices"]["items"]
    lines = [line for one in touched[:_MOST_DEVICES] for line in _planned(one)]
    rest = sum(count for action, count in counts.items() if action in _ACTIONS) - _MOST_DEVICES
    told = ", ".join(f"{count} {_said_of(action)}" for action, count in counts.items())
    return [told or "no device", *lines, *([f"... and {rest} more"] if rest > 0 else [])]


def _planned(one: Mapping[str, Any]) -> list[str]:
    before, after = one["version_before"], one["version_after"]
    versions = " -> ".join(dict.fromkeys(str(version) for version in (before, after) if version))
    values = [
        f"    {each['name']}: {plain(each['before']) or '-'} -> {plain(each['after']) or '-'}"
        for each in one["parameters"]
        if each["before"] != each["after"]
    ]
    reasons = [f"    {reason}" for reason in one["reasons"]]
    return [f"{one['device']}: {_said_of(one['action'])} {versions}".rstrip(), *values, *reasons]


def _said_of(action: str) -> str:
    """Return in words what would become of a device."""
    return _ACTIONS.get(action, action)


def _follows(operator: Operator, document: Document) -> Asked | None:
    """Return the rollout that brings the assignment to its devices."""
    from edgewright.cli.resources.rollouts import newest_of

    return newest_of(operator, document.name)


KIND = Kind(
    name="assignment",
    plural="assignments",
    title="Assignment",
    path="/assignments",
    key=lambda entry: str(entry["name"]),
    path_of=_path,
    columns=(
        Column("name", text_of("name")),
        Column("application", lambda entry, _now: f"{entry['application']} {_version(entry)}"),
        Column("for", _target),
        Column("deployments", _counted),
        Column("changed", time_of("changed")),
        Column("revision", text_of("revision"), wide=True),
        Column("by", text_of("by"), wide=True),
    ),
    empty="No assignments yet; 'edgewright apply -f FILE' makes one from a document.",
    describe=_describe,
    more=_more,
    document=_document,
    is_short=True,
    filters=("application",),
    declared=Declared(
        present=_present,
        change=_change,
        members=frozenset({"application", *_MEMBERS}),
        required=frozenset({"application", "version", "target"}),
        absent=frozenset(_MEMBERS),
        preview=_preview,
        follows=_follows,
    ),
)


def _version(entry: Entry) -> str:
    return str((entry.get("spec") or entry).get("version"))
