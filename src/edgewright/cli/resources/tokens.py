"""Tokens for programs; what they are is shown once, when they are made."""

from __future__ import annotations

from datetime import datetime

from edgewright.cli.output import moment, print_facts
from edgewright.cli.resources.documents import Document
from edgewright.cli.resources.kind import Column, Entry, Kind, plain, text_of, time_of


def _path(key: str) -> str:
    from edgewright.cli.operator_client import segment

    return f"/tokens/{segment(key)}"


def _scopes(entry: Entry, _now: datetime) -> str:
    return plain(entry.get("scopes")) or "all"


def _describe(entry: Entry, now: datetime) -> None:
    print_facts(
        [
            ("token", str(entry["name"])),
            ("number", str(entry["id"])),
            ("of", str(entry.get("user") or "the machine")),
            ("role", str(entry["role"])),
            ("for", _scopes(entry, now)),
            ("state", str(entry["state"])),
            ("works until", moment(entry.get("expires")) or "it is revoked"),
            ("used", time_of("used")(entry, now)),
            ("made", time_of("created")(entry, now)),
        ]
    )


def _document(entry: Entry) -> Document:
    status = {name: value for name, value in entry.items() if name != "id"}
    return Document(kind="Token", metadata={"name": str(entry["id"])}, status=status)


KIND = Kind(
    name="token",
    plural="tokens",
    title="Token",
    path="/tokens",
    key=lambda entry: str(entry["id"]),
    path_of=_path,
    columns=(
        Column("number", text_of("id")),
        Column("name", text_of("name")),
        Column("of", lambda entry, _now: str(entry.get("user") or "the machine")),
        Column("role", text_of("role")),
        Column("for", _scopes),
        Column("used", time_of("used")),
        Column("state", text_of("state"), wide=True),
        Column("works until", lambda entry, _now: moment(entry.get("expires")), wide=True),
    ),
    empty="No tokens; 'edgewright token create NAME' makes one.",
    describe=_describe,
    document=_document,
    filters=("user",),
    search=None,
    matches=lambda entry, given: entry["name"] == given,
    ends="revoked",
)
