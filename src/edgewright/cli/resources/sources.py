"""Sources: registries and folders in which the fleet manager looks for packages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.cli.output import moment, print_facts, print_table
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

_DECIDED = ("kind", "location", "repositories", "every_minutes", "plain_http", "ca", "prune")
# What the fleet manager takes for a member that is left out.
_DEFAULTS: Mapping[str, Any] = {
    "repositories": [],
    "every_minutes": 60,
    "plain_http": False,
    "ca": None,
    "prune": False,
}
_SECRETS = ("username", "password", "token")
_GOOD = frozenset({"imported", "ignored", "declined"})


def _path(key: str) -> str:
    from edgewright.cli.operator_client import segment

    return f"/sources/{segment(key)}"


def _status(entry: Entry, _now: datetime) -> str:
    status = entry["status"]
    if status["state"] == "running" and status.get("total"):
        return f"running, {status['done']} of {status['total']}"
    return str(status["state"])


def _looked(entry: Entry, now: datetime) -> str:
    return time_of("ended")(entry["status"], now)


def _offers(entry: Entry, _now: datetime) -> str:
    return ", ".join(f"{count} {state}" for state, count in entry["offers"].items() if count) or "nothing"


def _describe(entry: Entry, now: datetime) -> None:
    status = entry["status"]
    every = entry["every_minutes"]
    print_facts(
        [
            ("source", str(entry["name"])),
            ("looks in", f"{entry['kind']} {entry['location']}"),
            ("repositories", ", ".join(entry["repositories"])),
            ("credentials", " ".join(filter(None, (entry["credentials"], entry["username"])))),
            ("every", f"{every} min" if every else "only when asked"),
            ("state", _status(entry, now)),
            ("message", str(status.get("message") or "")),
            ("looked", _looked(entry, now)),
            ("again", moment(status.get("next"))),
            ("on offer", _offers(entry, now)),
        ]
    )


def _more(operator: Operator, entry: Entry, _now: datetime) -> None:
    """Print what is on offer and not as it should be."""
    from edgewright.cli.operator import every

    offers = every(operator, f"{_path(str(entry['name']))}/offers", dict[str, Any])
    rows = [(one["place"], one["state"], _problems(one)) for one in offers if one["state"] not in _GOOD]
    if rows:
        print()
        print_table(["place", "state", "what is wrong"], rows, empty="")


def _problems(offer: Entry) -> str:
    return "; ".join(f"{each['path']} {each['message']}".strip() for each in offer["problems"])


def _document(entry: Entry) -> Document:
    spec = {name: entry[name] for name in _DECIDED if entry[name] is not None or name == "every_minutes"}
    status = {name: value for name, value in entry.items() if name not in {*_DECIDED, "name"}}
    return Document(kind="Source", metadata={"name": entry["name"]}, spec=spec, status=status)


def _present(operator: Operator, document: Document) -> Standing | None:
    return standing_at(operator, _path(document.name), _document)


def _change(document: Document, standing: Standing | None) -> Change | None:
    spec = dict(document.spec or {})
    wanted = {**_DEFAULTS, **{name: value for name, value in spec.items() if name != "credentials"}}
    # What is kept of credentials is never shown: they are sent whenever they are written.
    if standing is not None and "credentials" not in spec:
        present = {**_DEFAULTS, **(standing.document.spec or {})}
        if {**present, "repositories": list(present["repositories"])} == wanted:
            return None
    if "credentials" in spec:
        wanted["credentials"] = _credentials(document, spec["credentials"])
    seen = None if standing is None else standing.tag
    return Change(method="PUT", path=_path(document.name), value=wanted, seen=seen)


def _credentials(document: Document, given: object) -> dict[str, str] | None:
    """Return credentials, with what is written in files read from there (`password_file`, `token_file`)."""
    from edgewright.cli.context import read_file

    if given is None:
        return None
    if not isinstance(given, dict):
        raise document.wrong("$.spec.credentials", "expected a mapping")
    found: dict[str, str] = {}
    for name, value in given.items():
        plain = name.removesuffix("_file")
        if plain not in _SECRETS or not isinstance(value, str):
            known = ", ".join((*_SECRETS, "password_file", "token_file"))
            raise document.wrong(f"$.spec.credentials.{name}", f"expected texts under {known}")
        found[plain] = read_file(Path(value)).decode().strip() if name.endswith("_file") else value
    return found


KIND = Kind(
    name="source",
    plural="sources",
    title="Source",
    path="/sources",
    key=lambda entry: str(entry["name"]),
    path_of=_path,
    columns=(
        Column("name", text_of("name")),
        Column("location", text_of("location")),
        Column("state", _status),
        Column("looked", _looked),
        Column("on offer", _offers),
        Column("kind", text_of("kind"), wide=True),
        Column("repositories", text_of("repositories"), wide=True),
        Column("message", lambda entry, _now: str(entry["status"].get("message") or ""), wide=True),
    ),
    empty="No sources yet; 'edgewright apply -f FILE' makes one from a document.",
    describe=_describe,
    more=_more,
    document=_document,
    search=None,
    settled=lambda entry: entry["status"]["state"] != "running",
    failed=lambda entry: entry["status"]["state"] == "failed",
    declared=Declared(
        present=_present,
        change=_change,
        members=frozenset({*_DECIDED, "credentials"}),
        required=frozenset({"kind", "location"}),
        absent=frozenset(_DEFAULTS),
    ),
)
