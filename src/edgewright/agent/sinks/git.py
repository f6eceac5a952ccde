"""Reports as commits on the branch `current`: what is where, and which commits are owed (spec: GR-31)."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edgewright.agent.state.outbox import CAPABILITIES, SITE, STATUS, Report
from edgewright.net.git.program import Entry
from edgewright.protocol import repository as names

Changes = dict[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One commit: what it says to people, and what becomes other by path."""

    message: str
    changes: Changes


def file_of(report: Report) -> str | None:
    """Return where `report` is told; None for one that has no place there, by its name or its size."""
    limit = names.DOCUMENT_BYTES
    if report.name == CAPABILITIES:
        path = names.CAPABILITIES
    elif report.name == SITE:
        path, limit = names.SITE, names.SITE_BYTES
    else:
        path = names.status_file(report.name.removeprefix(STATUS))
        if path.count("/") != 1 or not names.is_safe_name(path.partition("/")[2]):
            return None
    return path if len(report.body) <= limit else None


def steps(
    reports: Sequence[Report],
    last: Sequence[Report],
    *,
    found: Mapping[str, Entry],
    anew: bool,
    adopted: bytes | None,
    waiting: Collection[str] = (),
) -> list[Step]:
    """Return the commits that tell `reports`, in order, on top of what was `found` at the branch's head.

    `last` are the last reports of each name: with `anew` those that are not among `reports` are told again,
    as somebody has changed or lost the branch, unless there is more `waiting` under their name. Statuses
    nobody reports any more go. What is there already is not told twice. `adopted.json` is left alone where
    it is None.
    """
    waiting = {*waiting, *(each.name for each in reports)}
    first: Changes = {}
    if anew:
        for each in last:
            path = file_of(each)
            if each.name not in waiting and path is not None:
                first[path] = each.body
    kept = {file_of(each) for each in (*last, *reports)} | {_status_of(name) for name in waiting}
    for path in found:
        if path.startswith(f"{names.STATUS}/") and path not in kept:
            first[path] = None
    ids = {path: each.id for path, each in found.items() if each.kind == "blob"}
    listed = [Step("Tell the state anew" if anew else "Leave out what is gone", _new(first, ids))]
    for each in reports:
        path = file_of(each)
        assert path is not None  # noqa: S101 - others were sorted out
        listed.append(Step(_message(each), _new({path: each.body}, ids)))
    if adopted is not None:
        listed.append(Step("Tell what was taken up", _new({names.ADOPTED: adopted}, ids)))
    told = [step for step in listed if step.changes]
    if len(told) > 1 and names.ADOPTED in told[-1].changes:
        told[-2:] = [Step(told[-2].message, told[-2].changes | told[-1].changes)]
    return told


def _status_of(name: str) -> str:
    return names.status_file(name.removeprefix(STATUS))


def _new(changes: Changes, ids: dict[str, str]) -> Changes:
    """Return those of `changes` that change something; `ids` are kept up to date."""
    new: Changes = {}
    for path, data in changes.items():
        if data is None:
            ids.pop(path, None)
            new[path] = None
        else:
            blob = hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()
            if ids.get(path) != blob:
                ids[path] = blob
                new[path] = data
    return new


def _message(report: Report) -> str:
    """Return what the commit of `report` says to people."""
    try:
        state = json.loads(report.body)["status"]["state"]
    except (ValueError, KeyError, TypeError, RecursionError):
        state = ""
    words = f"{report.name}: {state}" if isinstance(state, str) and state else report.name
    return "".join(char if char.isprintable() else "?" for char in words)[:200]
