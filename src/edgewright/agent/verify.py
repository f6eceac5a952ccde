"""`agent verify`: look through everything this device holds and tell what is damaged; mend it if asked to."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from urllib.parse import quote

from edgewright.agent.paths import Paths
from edgewright.agent.round import Device, accepted_manifest, introduce, reconcile
from edgewright.agent.runtimes import ComponentError, Runtime
from edgewright.agent.settings import Settings
from edgewright.agent.state import mirror
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.locks import lock
from edgewright.agent.state.markers import restore_documents
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.owner import restore_owner
from edgewright.agent.state.store import Store, is_damage
from edgewright.agent.talk.session import Session
from edgewright.agent.work.engines import find_runtimes
from edgewright.agent.work.integrity import Finding, check_components, load_held
from edgewright.agent.work.recovery import check_accepted
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import EdgewrightError


def verify(
    paths: Paths, settings: Settings, *, mend: bool, runtimes: Mapping[str, Runtime] | None = None
) -> list[Finding]:
    """Return what is damaged. `mend` ends with a round, so that what was mended runs again.

    Raises AlreadyRunningError while a round is at work, and what opening the state raises. `runtimes`
    replaces those found on the machine.
    """
    held = lock(paths.round_lock)
    try:
        findings = list(check_database(paths.database, mend=mend))
        if findings and not mend:
            return findings  # nothing else can be looked at without changing something
        return [*findings, *_look_through(paths, settings, runtimes, mend=mend)]
    finally:
        os.close(held)


def check_database(path: str, *, mend: bool) -> Iterator[Finding]:
    """Yield what is wrong with the database; with `mend` a new one takes its place."""
    problem = _database_problem(path)
    if problem is None:
        return
    if mend:
        store = Store(path)
        if store.moved_aside is None and os.path.getsize(path) and _database_problem(path) is not None:
            store.give_up(sqlite3.DatabaseError(problem))
        store.close()
    outcome = "a new one is in its place, with what is left" if mend else ""
    yield Finding(part="database", name=os.path.basename(path), problem=problem, outcome=outcome, mended=mend)


def _database_problem(path: str) -> str | None:
    if not os.path.exists(path) or not os.path.getsize(path):
        return "missing"
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return str(error)
    return None if found == ["ok"] else "; ".join(found)


def _look_through(
    paths: Paths, settings: Settings, runtimes: Mapping[str, Runtime] | None, *, mend: bool
) -> Iterator[Finding]:
    store = Store(paths.database)
    session = Session.polite(paths, store)
    try:
        restore_owner(paths, store)
        device = Device(
            paths=paths,
            settings=settings,
            store=store,
            session=session,
            runtimes=find_runtimes(settings, paths) if runtimes is None else runtimes,
            notify=lambda: None,
        )
        yield from check_manifest(store, mend=mend)
        yield from _check_documents(device, mend=mend)
        yield from _check_held(device, mend=mend)
        if mend:
            reconcile(device)
    finally:
        session.close()
        store.close()


def check_manifest(store: Store, *, mend: bool) -> Iterator[Finding]:
    """Yield what is wrong with the accepted manifest and its copy; mended is each by the other."""
    bound = store.bound()
    if bound is None:
        return
    damaged = digest_of(bound.body) != bound.digest
    try:
        copy = mirror.load(mirror.path_beside(store.path))
    except mirror.MirrorError:
        copy = None
    copy_is_whole = copy is not None and bool(copy.body)
    if not damaged and copy_is_whole:
        return
    name = f"version {bound.version}"
    can_mend = mend and (not damaged or copy_is_whole)
    if mend:
        check_accepted(store)
    for what, is_damaged in (("manifest", damaged), ("copy of the manifest", not copy_is_whole)):
        if is_damaged:
            outcome = "taken up from the other" if can_mend else "it has to be fetched again" if mend else ""
            yield Finding(
                part=what, name=name, problem="damaged or missing", outcome=outcome, mended=can_mend
            )


def _check_documents(device: Device, *, mend: bool) -> Iterator[Finding]:
    objects = Objects(device.paths.objects)
    manifest = accepted_manifest(device.store)
    listed = [(each.deployment_id, each.digest) for each in (manifest.deployments if manifest else ())]
    for key in dict.fromkeys([*listed, *(each.key for each in _ledger(device).revisions() if each.digest)]):
        if objects.load(key[1]) is None:
            problem = _mend_document(device, objects, key) if mend else None
            yield Finding(
                part="document",
                name=f"{key[0]} ({key[1][:19]})",
                problem="damaged or missing",
                outcome="" if not mend else problem or "brought back",
                mended=mend and problem is None,
            )


def _mend_document(device: Device, objects: Objects, key: tuple[str, str]) -> str | None:
    """Bring a document back, from its copy or from the fleet manager; return why that failed."""
    if restore_documents(device.paths, objects, [key]):
        return None
    try:
        objects.save(key[1], device.documents.fetch_one(*key))
    except EdgewrightError as error:
        return str(error)
    return None


def _check_held(device: Device, *, mend: bool) -> Iterable[Finding]:
    """Return what is damaged of projects and images; an engine that does not answer cannot be believed."""
    held = load_held(
        _ledger(device).revisions(),
        Objects(device.paths.objects),
        introduce(device, Outbox(device.store)),
        runtimes=device.runtimes,
        paths=device.paths,
        telemetry=device.settings.telemetry_environment,
    )
    try:
        return list(check_components(held, mend=mend))
    except ComponentError as error:
        return [Finding(part="component", name="all", problem=f"not checked: {error}")]


def _ledger(device: Device) -> Ledger:
    return Ledger(device.store, Outbox(device.store), device_id=device.device_id, notify=device.notify)
