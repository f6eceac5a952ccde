"""Invitations; their tokens are shown once, when they are made."""

from __future__ import annotations

from datetime import datetime

from edgewright.cli.output import moment, print_facts
from edgewright.cli.resources.documents import Document
from edgewright.cli.resources.kind import Column, Entry, Kind, text_of, time_of


def _describe(entry: Entry, now: datetime) -> None:
    print_facts(
        [
            ("invitation", str(entry["name"])),
            ("state", str(entry["state"])),
            ("created", time_of("created")(entry, now)),
            ("works until", moment(entry.get("expires"))),
            ("used", time_of("used")(entry, now)),
        ]
    )


def _document(entry: Entry) -> Document:
    status = {name: value for name, value in entry.items() if name != "name"}
    return Document(kind="Enrollment", metadata={"name": entry["name"]}, status=status)


def _path(key: str) -> str:
    from edgewright.cli.operator_client import segment

    return f"/enrollments/{segment(key)}"


KIND = Kind(
    name="enrollment",
    plural="enrollments",
    title="Enrollment",
    path="/enrollments",
    key=lambda entry: str(entry["name"]),
    path_of=_path,
    columns=(
        Column("name", text_of("name")),
        Column("state", text_of("state")),
        Column("created", time_of("created")),
        Column("used", time_of("used")),
        Column("works until", lambda entry, _now: moment(entry.get("expires")), wide=True),
    ),
    empty="No invitations yet; 'edgewright enrollment create NAME' makes one.",
    describe=_describe,
    document=_document,
    filters=("state",),
    is_alone=False,
    ends="withdrawn",
)
