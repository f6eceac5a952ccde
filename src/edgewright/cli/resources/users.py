"""Users: who may sign in, and with which role."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from edgewright.cli.errors import UsageError
from edgewright.cli.output import print_facts
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


def _path(key: str) -> str:
    from edgewright.cli.operator_client import segment

    return f"/users/{segment(key)}"


def _signs_in(entry: Entry, _now: datetime) -> str:
    means = ["with a password"] if entry.get("has_password") else []
    if entry.get("identity_provider"):
        means.append(f"at {entry['identity_provider']}")
    told = " or ".join(means) or "not at all"
    return f"{told}, to be changed" if entry.get("must_change_password") else told


def _describe(entry: Entry, now: datetime) -> None:
    print_facts(
        [
            ("user", str(entry["name"])),
            ("role", str(entry["role"])),
            ("state", str(entry["state"])),
            ("signs in", _signs_in(entry, now)),
            ("signed in last", time_of("signed_in")(entry, now)),
            ("made", time_of("created")(entry, now)),
        ]
    )


def _document(entry: Entry) -> Document:
    spec = {"role": entry["role"], "disabled": entry["state"] == "disabled"}
    status = {name: value for name, value in entry.items() if name not in {"name", "role"}}
    return Document(kind="User", metadata={"name": entry["name"]}, spec=spec, status=status)


def _present(operator: Operator, document: Document) -> Standing | None:
    return standing_at(operator, _path(document.name), _document)


def _change(document: Document, standing: Standing | None) -> Change | None:
    spec = {name: value for name, value in (document.spec or {}).items() if value is not None}
    if standing is None:
        if spec.get("disabled"):
            told = f"{document.title} is not there, and none is made to be disabled"
            raise UsageError(f"{document.source}: {told}")
        chosen = {"role": spec["role"]} if "role" in spec else {}
        return Change(method="POST", path="/users", value={"name": document.name, **chosen})
    present = standing.document.spec or {}
    changed = {name: value for name, value in spec.items() if value != present.get(name)}
    if not changed:
        return None
    return Change(method="PATCH", path=_path(document.name), value=changed, seen=standing.tag)


def _told(answer: object) -> Sequence[str]:
    password = answer.get("password") if isinstance(answer, dict) else None
    return [f"password {password} (to be changed when first signing in)"] if password else []


KIND = Kind(
    name="user",
    plural="users",
    title="User",
    path="/users",
    key=lambda entry: str(entry["name"]),
    path_of=_path,
    columns=(
        Column("name", text_of("name")),
        Column("role", text_of("role")),
        Column("state", text_of("state")),
        Column("signs in", _signs_in),
        Column("last", time_of("signed_in")),
        Column("made", time_of("created"), wide=True),
    ),
    empty="No users but those of tokens; 'edgewright apply -f FILE' makes one from a document.",
    describe=_describe,
    document=_document,
    filters=("role", "disabled"),
    declared=Declared(
        present=_present,
        change=_change,
        members=frozenset({"role", "disabled"}),
        told=_told,
    ),
)
