"""Brings about what documents say: looks at what there is, and asks for what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgewright.cli.errors import RefusedError
from edgewright.cli.resources.kind import Change, Declared, Kind, Standing
from edgewright.cli.resources.registry import TITLES, kind_called

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator
    from edgewright.cli.resources.documents import Document

# What others need comes first.
_ORDER = ("User", "Source", "Package", "Device", "Policy", "Assignment", "Deployment")
_CHANGED_MEANWHILE = 412


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One document, what there is of it, and the request that makes it so; None where nothing has to be."""

    document: Document
    kind: Kind
    standing: Standing | None
    change: Change | None
    skipped: str = ""

    @property
    def verb(self) -> str:
        """What is done, in the past tense."""
        if self.skipped:
            return f"skipped: {self.skipped}"
        if self.change is None:
            return "unchanged"
        return "created" if self.standing is None else "changed"


def declared_of(kind: Kind) -> Declared:
    """Return how a kind is declared; documents are only read of kinds that are."""
    if kind.declared is None:
        raise TypeError(kind.name)
    return kind.declared


def steps(operator: Operator, documents: Sequence[Document]) -> list[Step]:
    """Return what there is to do, in the order in which it can be done; nothing is changed yet."""
    ordered = sorted(documents, key=lambda one: _ORDER.index(one.kind) if one.kind in _ORDER else 0)
    return [_step(operator, document) for document in ordered]


def _step(operator: Operator, document: Document) -> Step:
    kind = kind_called(TITLES[document.kind])
    declared = declared_of(kind)
    why = _why_skipped(document)
    if why:
        return Step(document=document, kind=kind, standing=None, change=None, skipped=why)
    standing = declared.present(operator, document)
    change = declared.change(document, standing)
    return Step(document=document, kind=kind, standing=standing, change=change)


def _why_skipped(document: Document) -> str:
    """Return why a document, as the fleet manager printed it, is not one to bring about; "" if it is."""
    if document.status.get("deleted") is not None:
        return "it was deleted; without its status it is created anew"
    owner = document.status.get("assignment")
    return f"it comes with assignment/{owner}" if owner else ""


def carry_out(operator: Operator, step: Step, *, dry_run: bool) -> object:
    """Ask for one change and return the answer; raises RefusedError naming the document."""
    change = step.change
    if change is None:
        return None
    path = rehearsed(change.path) if dry_run else change.path
    try:
        if isinstance(change.value, bytes):
            return operator.put_file(path, change.value, change.media_type, seen=change.seen)
        if change.method == "POST":
            return operator.post(path, change.value)
        if change.method == "PATCH":
            return operator.patch(path, change.value, seen=change.seen)
        return operator.put(path, change.value, seen=change.seen)
    except RefusedError as error:
        if error.status == _CHANGED_MEANWHILE:
            told = f"{step.document.title} was changed by somebody else just now; run this again"
            raise RefusedError(told, status=error.status) from error
        where = f"{step.document.source}: " if step.document.source else ""
        first, *rest = str(error).split("\n  ")
        raise RefusedError(
            f"{where}{step.document.title}: {first}",
            status=error.status,
            errors=error.errors or tuple(("", line) for line in rest),
        ) from error


def rehearsed(path: str) -> str:
    """Return the path with which the fleet manager does everything but keep it."""
    return f"{path}{'&' if '?' in path else '?'}dry_run=true"


def difference(step: Step) -> Iterator[str]:
    """Yield the lines of a unified diff from what there is to what the document says."""
    from difflib import unified_diff

    from edgewright.protocol import yaml

    if step.change is None:
        return
    before: Mapping[str, Any] = {} if step.standing is None else step.standing.document.wish()
    after = wanted_in(step).wish()
    old, new = ([] if not one else yaml.dump(one).decode().splitlines() for one in (before, after))
    title, source = step.document.title, step.document.source
    yield from unified_diff(old, new, f"{title} (fleet manager)", f"{title} ({source})", lineterm="")


def wanted_in(step: Step) -> Document:
    """Return the document with what it leaves to the fleet manager as that has it."""
    if step.standing is None:
        return step.document
    there = step.standing.document
    absent = declared_of(step.kind).absent
    spec = {
        name: value
        for name, value in (there.spec or {}).items()
        if name not in absent and not declared_of(step.kind).whole
    }
    given = step.document.spec or {}
    merged = {**spec, **{name: value for name, value in given.items() if value is not None}}
    order = [*(there.spec or {}), *merged]
    metadata = {**there.metadata, **step.document.metadata}
    return replace(
        step.document,
        metadata=metadata,
        spec=None
        if there.spec is None and not given
        else {name: merged[name] for name in order if name in merged},
    )
