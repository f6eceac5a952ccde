"""Repositories: where devices have their state by Git, one per device."""

from __future__ import annotations

from datetime import datetime

from edgewright.cli.output import moment, print_facts
from edgewright.cli.resources.documents import Document
from edgewright.cli.resources.kind import Column, Entry, Kind, text_of, time_of

_SHOWN = 12


def _path(key: str) -> str:
    from edgewright.cli.operator_client import segment

    return f"/devices/{segment(key)}/repository"


def _commit(name: str, entry: Entry) -> str:
    return str(entry.get(name) or "")[:_SHOWN]


def state(entry: Entry, _now: datetime | None = None) -> str:
    """Return how a repository stands, in a word: whatever needs a person first."""
    if entry["problem"]:
        return "problem"
    if entry["rejected"]:
        return "rejected by the device"
    if entry["unread"]:
        return "not all read"
    if entry["refused"]:
        return "a commit was refused"
    if entry["desired_commit"] is None:
        return "nothing written yet"
    if entry["adopted_commit"] != entry["desired_commit"]:
        return "not taken up yet"
    return "in step"


def _trouble(entry: Entry) -> str:
    rejected = entry["rejected"]
    told = [
        entry["problem"],
        None if rejected is None else f"{(rejected['commit'] or 'desired')[:_SHOWN]}: {rejected['reason']}",
        entry["refused"],
        *(f"{one['path']}: {one['message']}" for one in entry["unread"]),
    ]
    return "; ".join(one for one in told if one)


def _describe(entry: Entry, _now: datetime) -> None:
    taken_up = " ".join(
        filter(
            None,
            (_commit("adopted_commit", entry), entry["adopted_version"] and f"v{entry['adopted_version']}"),
        )
    )
    print_facts(
        [
            ("device", str(entry["device"])),
            ("repository", f"{entry['kind']} {entry['url'] or '(nothing listens for Git)'}"),
            ("state", state(entry)),
            ("message", _trouble(entry)),
            ("desired", _commit("desired_commit", entry)),
            ("taken up", taken_up),
            ("read up to", _commit("current_commit", entry)),
            ("checked", moment(entry["checked"])),
            (
                "opened by",
                ", ".join(("its certificate", *entry["opened_by"])) if entry["kind"] == "hosted" else "",
            ),
            ("signed by", str(entry["signer"] or "")),
        ]
    )


def _document(entry: Entry) -> Document:
    spec = {"kind": entry["kind"], "url": entry["url"]}
    status = {name: value for name, value in entry.items() if name not in {*spec, "device"}}
    return Document(kind="Repository", metadata={"name": entry["device"]}, spec=spec, status=status)


KIND = Kind(
    name="repository",
    plural="repositories",
    title="Repository",
    path="/repositories",
    key=lambda entry: str(entry["device"]),
    path_of=_path,
    columns=(
        Column("device", text_of("device")),
        Column("kind", text_of("kind")),
        Column("state", state),
        Column("desired", lambda entry, _now: _commit("desired_commit", entry)),
        Column("taken up", lambda entry, _now: _commit("adopted_commit", entry)),
        Column("checked", time_of("checked")),
        Column("url", text_of("url"), wide=True),
        Column("message", lambda entry, _now: _trouble(entry), wide=True),
    ),
    empty="No device has a Git repository; 'edgewright repository create DEVICE' makes one.",
    describe=_describe,
    document=_document,
    filters=("problem",),
    search=None,
    ends="removed",
)
