"""Reads what a device writes on its branch `current`, commit by commit, and takes it as the device API does.

Anything may be there: names, sizes, kinds and contents are judged one by one, what cannot be taken is told
and passed over, and the rest is taken. A commit is taken in the transaction that notes that it was read; a
document that is known already is not taken again, so that a branch whose history was lost can be read as
a whole.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.repository import (
    ADOPTED,
    CAPABILITIES,
    CURRENT,
    DOCUMENT_BYTES,
    MOST_ENTRIES,
    SITE,
    SITE_BYTES,
    STATUS,
)
from edgewright.protocol.site import SiteReport
from edgewright.protocol.status import DeploymentStatus
from edgewright.server.fleet import reports
from edgewright.server.fleet.sites import record_site
from edgewright.server.repositories.bare import Bare, MissingObjectError, Reader, TooLargeError
from edgewright.server.repositories.objects import DamagedObjectError, Entry, parse_commit, parse_tree
from edgewright.server.store import clients, deployments, devices, sites
from edgewright.server.store import repositories as store

log = logging.getLogger(__name__)

# After a long time away no more than the newest so many commits are told one by one; of those before, what
# they came to. Further back than `_FURTHEST` nobody looks for the commit that was read last.
MOST_COMMITS: Final = 2_000
_FURTHEST: Final = 200_000
# One transaction takes at most so many commits, or the one that goes over so many bytes.
PORTION_COMMITS: Final = 50
PORTION_BYTES: Final = 4 * 1024 * 1024
MOST_FAULTS: Final = 20
_LONGEST_FAULT: Final = 300
_COMMIT_BYTES: Final = 64 * 1024
_TREE_BYTES: Final = MOST_ENTRIES * 256
_ADOPTED_BYTES: Final = 16 * 1024
_LIMITS: Final = {
    CAPABILITIES: min(reports.MAX_CAPABILITIES_BYTES, DOCUMENT_BYTES),
    SITE: SITE_BYTES,
    ADOPTED: _ADOPTED_BYTES,
}
_TREE = "."


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Which commit on `desired` a device does not take up, and why; without a commit the branch is gone."""

    commit: str | None = None
    reason: str = ""
    since: str = ""


class Adopted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a device says of what it took up (docs/reference/git-repository.md, `adopted.json`)."""

    manifest_version: str | None = None
    commit: str | None = None
    refused: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which commits are to be read, the oldest first; `base` is the one they follow, None for none."""

    commits: tuple[str, ...]
    base: str | None
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One commit: its new and changed documents by path, in the order in which they count, and its faults.

    `gone` are paths that are not there any more.
    """

    commit: str
    documents: Mapping[str, bytes] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    gone: Collection[str] = ()


def adopted_of(kept: str | None) -> Adopted | None:
    """Return what a device said last of what it took up, as it is kept."""
    return None if kept is None else msgspec.json.decode(kept, type=Adopted)


def faults_of(kept: str | None) -> dict[str, str]:
    """Return what could not be read on a device's branch, by path, as it is kept."""
    return {} if kept is None else msgspec.json.decode(kept, type=dict[str, str])


def plan(bare: Bare, since: str | None) -> Plan | None:
    """Return what there is to read after the commit `since`; None if there is nothing.

    Where `since` is no ancestor any more, the head is read as a whole.
    """
    head = bare.branch(CURRENT)
    if head is None or head == since:
        return None
    newest: list[str] = []
    with bare.reading() as reader:
        commit: str | None = head
        for _ in range(_FURTHEST):
            if commit is None or commit == since:
                break
            if len(newest) < MOST_COMMITS:
                newest.append(commit)
            try:
                parents = parse_commit(reader.get(commit, "commit", limit=_COMMIT_BYTES)).parents
            except (MissingObjectError, TooLargeError, DamagedObjectError):
                break
            commit = parents[0] if parents else None
        if since is None:
            return Plan(commits=tuple(reversed(newest)), base=None, is_whole=False)
        if commit == since:
            return Plan(commits=tuple(reversed(newest)), base=since, is_whole=False)
    return Plan(commits=(head,), base=None, is_whole=True)


def read(bare: Bare, base: str | None, commits: Sequence[str], known: Collection[str]) -> list[Taken]:
    """Return what the first of `commits` bring, as many as one transaction takes, at least one.

    `base` is the commit before them, `known` the ids of deployments of which statuses can be taken.
    """
    taken: list[Taken] = []
    size = 0
    with bare.reading() as reader:
        before = {} if base is None else _entries(reader, base).files
        for commit in commits[:PORTION_COMMITS]:
            after = _entries(reader, commit)
            found = _changes(reader, commit, before, after, known)
            taken.append(found)
            # A tree that could not be read is passed over: what follows is compared with the one before.
            before = before if _TREE in after.faults else after.files
            size += sum(map(len, found.documents.values()))
            if size > PORTION_BYTES:
                break
    return taken


async def take(
    connection: AsyncConnection,
    client_id: str,
    taken: Sequence[Taken],
    *,
    now: datetime,
    is_whole: bool = False,
) -> bool:
    """Take in what commits brought, in this transaction; return whether the client may report at all.

    `is_whole` says that they do not follow what was read before.
    """
    client = await clients.get(connection, client_id)
    repository = await store.get(connection, client_id)
    if client is None or not client.is_accepted or repository is None or not taken:
        return False
    faults = {} if is_whole else faults_of(repository.unread)
    adopted: str | None = None
    for one in taken:
        for path in one.gone:
            faults.pop(path, None)
        for path in (_TREE, STATUS):
            faults.pop(path, None)
        faults |= one.faults
        for path, body in one.documents.items():
            fault = await _take_one(connection, client_id, path, body, now=now)
            if fault is None:
                faults.pop(path, None)
            else:
                faults[path] = fault
            if path == ADOPTED and fault is None:
                adopted = _shortened(body)
    shown = dict(sorted(faults.items())[:MOST_FAULTS])
    await store.note_read(
        connection,
        client_id,
        commit=taken[-1].commit,
        adopted=adopted,
        unread=msgspec.json.encode(shown).decode() if shown else None,
        now=now,
    )
    return True


# --- what is there ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Entries:
    """The files that mean something in one commit, by path, and what is wrong with its tree."""

    files: Mapping[str, Entry]
    faults: Mapping[str, str]


def _entries(reader: Reader, commit: str) -> _Entries:
    try:
        made = parse_commit(reader.get(commit, "commit", limit=_COMMIT_BYTES))
        root = {entry.name: entry for entry in parse_tree(reader.get(made.tree, "tree", limit=_TREE_BYTES))}
        files = {name: root[name] for name in (CAPABILITIES, SITE, ADOPTED) if name in root}
        folder = root.get(STATUS)
        if folder is not None and folder.is_folder:
            inside = parse_tree(reader.get(folder.id, "tree", limit=_TREE_BYTES))
            if len(inside) > MOST_ENTRIES:
                return _Entries({}, {_TREE: f"{STATUS} has {len(inside)} files, at most {MOST_ENTRIES}"})
            files |= {f"{STATUS}/{entry.name}": entry for entry in inside if entry.name.endswith(".json")}
        elif folder is not None:
            return _Entries(files, {STATUS: "is no folder"})
    except (MissingObjectError, TooLargeError, DamagedObjectError) as error:
        return _Entries({}, {_TREE: f"commit {commit[:12]}: {error}"})
    return _Entries(files, {})


def _changes(
    reader: Reader, commit: str, before: Mapping[str, Entry], after: _Entries, known: Collection[str]
) -> Taken:
    """Return what differs between two commits, as far as it can be taken."""
    documents: dict[str, bytes] = {}
    faults = dict(after.faults)
    for path, entry in _ordered(after.files):
        if path in before and before[path] == entry:
            continue
        if not entry.is_file:
            faults[path] = "is no plain file"
        elif path.startswith(f"{STATUS}/") and _deployment(path) not in known:
            faults[path] = "no deployment of this id is assigned to this device"
        else:
            try:
                documents[path] = reader.get(
                    entry.id, "blob", limit=_LIMITS.get(path, reports.MAX_STATUS_BYTES)
                )
            except (MissingObjectError, TooLargeError, DamagedObjectError) as error:
                faults[path] = str(error)
    gone = before.keys() - after.files.keys() if _TREE not in after.faults else ()
    return Taken(commit=commit, documents=documents, faults=_bounded(faults), gone=gone)


def _ordered(files: Mapping[str, Entry]) -> Iterator[tuple[str, Entry]]:
    """Yield files as they count: what the device is, what its site says, what became of its deployments."""
    ranks = {CAPABILITIES: 0, SITE: 1, ADOPTED: 3}
    yield from sorted(files.items(), key=lambda item: (ranks.get(item[0], 2), item[0]))


def _deployment(path: str) -> str:
    return path.removeprefix(f"{STATUS}/").removesuffix(".json").lower()


def _bounded(faults: Mapping[str, str]) -> dict[str, str]:
    return {path[:200]: text[:_LONGEST_FAULT] for path, text in sorted(faults.items())[:MOST_FAULTS]}


# --- taking it in -----------------------------------------------------------------------------------------


async def _take_one(
    connection: AsyncConnection, client_id: str, path: str, body: bytes, *, now: datetime
) -> str | None:
    """Take in one document; return what is wrong with it, None if nothing is."""
    try:
        async with connection.begin_nested():
            await _record(connection, client_id, path, body, now=now)
    except EdgewrightError as error:
        return str(error)[:_LONGEST_FAULT]
    except Exception:
        # One document must not keep all that follow it from being read.
        log.exception("%s of the repository of %s could not be taken", path, client_id)
        return "the server failed to take it; its log says why"
    return None


async def _record(
    connection: AsyncConnection, client_id: str, path: str, body: bytes, *, now: datetime
) -> None:
    if path == CAPABILITIES:
        device_id = DeviceCapabilities.parse(body, source=path).properties.id
        reports.check_device_id(device_id)
        kept = {one.device_id: one.document for one in await devices.of_client(connection, client_id)}
        if kept.get(device_id) != body:
            await reports.put_capabilities(connection, client_id, device_id, body, now=now)
    elif path == SITE:
        report = SiteReport.parse(body, source=path)
        known = await sites.get(connection, client_id)
        if known is None or known.document != body:
            await record_site(connection, client_id, report, body, now=now)
    elif path == ADOPTED:
        _adopted(body)
    else:
        status = DeploymentStatus.parse(body, source=path)
        last = await deployments.last_status(connection, _deployment(path))
        if last is None or last.body != body:
            _, version = await reports.record_status(
                connection, client_id, _deployment(path), status, body, now=now
            )
            reports.warn_of_lost_versions(client_id, status.adopted_manifest_version, version)


class AdoptedError(EdgewrightError):
    """A file `adopted.json` does not say what it should."""

    code = "git.adopted"


def _adopted(body: bytes) -> Adopted:
    try:
        return msgspec.json.decode(body, type=Adopted)
    except msgspec.DecodeError as error:
        raise AdoptedError(f"{ADOPTED}: {error}") from error


def _shortened(body: bytes) -> str:
    """Return what is kept of `adopted.json`."""
    said = _adopted(body)
    refused = said.refused
    kept = Adopted(
        manifest_version=None if said.manifest_version is None else said.manifest_version[:20],
        commit=None if said.commit is None else said.commit[:40],
        refused=None
        if refused is None
        else Refusal(
            commit=(refused.commit or "")[:40] or None,
            reason=refused.reason[:_LONGEST_FAULT],
            since=refused.since[:40],
        ),
    )
    return msgspec.json.encode(kept).decode()
