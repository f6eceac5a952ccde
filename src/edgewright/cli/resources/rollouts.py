"""Rollouts: how a changed assignment reaches its devices; made by the fleet manager, steered by people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from edgewright.cli.output import SHORT, print_facts, print_table
from edgewright.cli.resources.documents import Document
from edgewright.cli.resources.kind import Column, Entry, Kind, text_of, time_of

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator
    from edgewright.cli.resources.asking import Asked

# Nothing more happens to a rollout in one of these without a person.
_SETTLED = frozenset({"done", "stopped", "paused", "superseded", "cancelled"})
_EVENTS = 10
_STEPS = 20


def _path(key: str) -> str:
    from edgewright.cli.operator_client import segment

    return f"/rollouts/{segment(key)}"


def _counted(entry: Entry, _now: datetime) -> str:
    counts = entry.get("counts") or {}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return told or "no devices"


def _batch(entry: Entry, _now: datetime) -> str:
    return f"{entry['batch']} of {entry['batches']}" if entry["batches"] else "none"


def _describe(entry: Entry, now: datetime) -> None:
    print_facts(
        [
            ("rollout", str(entry["id"])),
            ("assignment", f"{entry['assignment']}, revision {entry['revision']}"),
            ("state", str(entry["state"])),
            ("stands", str(entry.get("standing") or "")),
            ("message", str(entry.get("message") or "")),
            ("batch", _batch(entry, now)),
            ("devices", _counted(entry, now)),
            ("begun", f"{time_of('created')(entry, now)}, by {entry['by']}"),
            ("ended", time_of("ended", "")(entry, now)),
        ]
    )
    batches = [
        (str(one["number"]) if one["number"] else "not possible", _counted(one, now))
        for one in entry.get("progress") or ()
    ]
    if batches:
        print()
        print_table(["batch", "devices"], batches, empty="")


def _more(operator: Operator, entry: Entry, now: datetime) -> None:
    """Print the devices that are not done, and what happened last."""
    from edgewright.cli.operator import every, read

    path = _path(str(entry["id"]))
    steps = every(operator, f"{path}/steps", dict[str, Any])
    open_steps = [one for one in steps if one["state"] not in {"done", "waiting"}]
    if open_steps:
        print()
        rows = [(one["device"], str(one["batch"]), one["state"], one["message"]) for one in open_steps]
        print_table(["device", "batch", "state", "why"], rows[:_STEPS], empty="")
        if len(rows) > _STEPS:
            print(f"... and {len(rows) - _STEPS} more")
    page: dict[str, Any] = read(operator.get(f"{path}/events?limit={_EVENTS}"), dict)
    if page["items"]:
        print()
        happened = [(time_of("at")(one, now), one["by"], one["message"]) for one in reversed(page["items"])]
        print_table(["when", "who", "what happened"], happened, empty="")


def _document(entry: Entry) -> Document:
    status = {name: value for name, value in entry.items() if name != "id"}
    return Document(kind="Rollout", metadata={"name": entry["id"]}, status=status)


def newest_of(operator: Operator, assignment: str) -> Asked | None:
    """Return the newest rollout of an assignment; None while there was none."""
    from edgewright.cli.completing import first_entries
    from edgewright.cli.operator_client import segment
    from edgewright.cli.resources.asking import Asked

    found = first_entries(operator, f"/rollouts?assignment={segment(assignment)}")
    return Asked(kind=KIND, names=(str(found[0]["id"]),)) if found else None


KIND = Kind(
    name="rollout",
    plural="rollouts",
    title="Rollout",
    path="/rollouts",
    key=lambda entry: str(entry["id"]),
    path_of=_path,
    columns=(
        Column("id", lambda entry, _now: str(entry["id"])[:SHORT]),
        Column("assignment", text_of("assignment")),
        Column("state", text_of("state")),
        Column("batch", _batch),
        Column("devices", _counted),
        Column("begun", time_of("created")),
        Column("message", text_of("message"), wide=True),
        Column("revision", text_of("revision"), wide=True),
        Column("by", text_of("by"), wide=True),
        Column("whole id", text_of("id"), wide=True),
    ),
    empty="No rollouts yet; one begins with every change of an assignment.",
    describe=_describe,
    more=_more,
    document=_document,
    filters=("assignment", "state", "device"),
    search=None,
    matches=lambda entry, given: entry["assignment"] == given,
    pick=lambda keys: keys[0],
    ends=None,
    settled=lambda entry: entry["state"] in _SETTLED,
    failed=lambda entry: entry["state"] in {"stopped", "cancelled"},
)
