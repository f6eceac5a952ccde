"""After damage: the memory of a device is put together again from what is left. Never a silent fresh start.

A new database knows the accepted manifest from its copy (`store.py`); here the revisions follow, from the
marks beside their files (`markers.py`). What runs tells the runtime itself, which keeps its own notes. So
nothing that is healthy is started again, every version that is reported is the true one, and nothing older is
accepted (spec: DS-12).
"""

from collections.abc import Collection, Iterable

from edgewright.agent import log
from edgewright.agent.consent.safekeeping import restore_word
from edgewright.agent.paths import Paths
from edgewright.agent.state import mirror
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.markers import load_markers, restore_documents
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.revisions import BEGUN, GIVEN_UP, HELD, Revision, Stage
from edgewright.agent.state.store import REBUILT, SECURITY, STATE, Manifest, Store
from edgewright.agent.talk.session import Session
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.manifest import StateManifest

_UNKNOWN = "unknown"


def recover(paths: Paths, store: Store, ledger: Ledger, session: Session) -> None:
    """Make the database tell the truth again, if it was lost or has gone back in time; and the documents.

    The identity of `session` counts for what nothing else tells whose it was.
    """
    check_accepted(store)
    why = store.meta(REBUILT)
    if why:
        _rebuild(why, paths, store, ledger, session)
    _restore_documents(paths, store, ledger)


def _rebuild(why: str, paths: Paths, store: Store, ledger: Ledger, session: Session) -> None:
    marked = list(load_markers(paths))
    revisions = believable(marked, _wanted(store))
    with store.transaction():
        if store.bound() is None and marked:
            _set_floor(store, session.identity.relation, max(each.adopted for each in marked))
        _write_down(revisions, ledger)
        if not restore_word(paths.site_word, store, session.identity.relation):
            store.record(STATE, "no copy of what the site had decided: a pause would not be known any more")
        known = ", ".join(sorted({each.name for each in revisions})) or "none"
        store.record(STATE, f"deployments known again from their files: {known}")
        store.set_meta(REBUILT, "")
    log.warning(f"{why}: deployments known again from their files: {known}")


def _restore_documents(paths: Paths, store: Store, ledger: Ledger) -> None:
    keys = {each.key for each in ledger.revisions()} | (_wanted(store) or set())
    restored = restore_documents(paths, Objects(paths.objects), sorted(keys))
    if restored:
        _say(store, STATE, f"lost documents were taken up from their copies: {', '.join(restored)}")


def check_accepted(store: Store) -> None:
    """Compare what was accepted with its copy, and mend whichever is behind or damaged."""
    bound = store.bound()
    try:
        copy = mirror.load(mirror.path_beside(store.path))
    except mirror.MirrorError:
        copy = None
    if bound is not None and bound.body and digest_of(bound.body) != bound.digest:
        if copy is None or copy.digest != bound.digest or not copy.body:
            bound.body = b""
            store.put_accepted(bound)
            _say(store, SECURITY, "the accepted manifest was damaged; it has to be fetched again")
            return
        bound.body = copy.body
        store.put_accepted(bound)
        _say(store, STATE, "the accepted manifest was damaged; it was taken up from its copy")
    if copy is not None and _is_ahead(copy, bound, store.received()):
        store.put_accepted(_manifest(copy))
        _say(
            store,
            STATE,
            f"the state database had lost its last changes; manifest version {copy.version} was taken up"
            " from its copy",
        )
    elif bound is not None and bound.body and not _is_same(copy, bound):
        store.save_copy()


def _is_same(copy: mirror.Mirrored | None, bound: Manifest) -> bool:
    return copy is not None and bool(copy.body) and _key(_manifest(copy)) == _key(bound)


def _key(manifest: Manifest) -> tuple[str, str, str, int | None]:
    return manifest.relation, manifest.etag, manifest.digest, manifest.version


def _is_ahead(copy: mirror.Mirrored, bound: Manifest | None, received: Manifest | None) -> bool:
    """Whether the copy is of a later manifest than the database.

    It is written first: while the inbox holds the same, the step from there was not completed, and will be.
    """
    if received is not None and received.digest == copy.digest:
        return False
    if bound is None:
        return True
    if copy.digest == bound.digest and copy.relation == bound.relation:
        return False
    if copy.relation != bound.relation or bound.version is None:
        return bool(copy.body)
    return copy.version is not None and int(copy.version) > bound.version


def _manifest(copy: mirror.Mirrored) -> Manifest:
    return Manifest(
        relation=copy.relation,
        etag=copy.etag,
        digest=copy.digest,
        body=copy.body,
        version=None if copy.version is None else int(copy.version),
    )


def _set_floor(store: Store, relation: str, adopted: int) -> None:
    """Accept nothing older than what runs here was once reported with, when nothing better is known.

    The same version may come again: its bytes are lost, so nothing can be told about their digest.
    """
    store.put_accepted(
        Manifest(relation=relation, etag="", digest=_UNKNOWN, body=b"", version=max(adopted - 1, 0))
    )


def _wanted(store: Store) -> set[tuple[str, str]] | None:
    """Return the keys of the revisions that the accepted manifest wants, None when it is not here."""
    accepted = store.accepted()
    if accepted is None:
        return None
    try:
        manifest = StateManifest.parse(accepted.body, source="accepted manifest")
    except DocumentError:
        return None
    return {(each.deployment_id, each.digest) for each in manifest.deployments}


def believable(marked: Iterable[Revision], wanted: Collection[tuple[str, str]] | None) -> list[Revision]:
    """Return which marked revisions to remember, and how; `wanted` is None when nobody knows.

    Marks may be a round old. What was not begun is taken up afresh; of a deployment one revision is
    installed at most, and none while another is being applied; what was given up counts while it is wanted.
    """
    deployments: dict[str, list[Revision]] = {}
    for each in sorted(marked, key=lambda each: (each.verified, each.changed)):
        deployments.setdefault(each.deployment_id, []).append(each)
    kept = []
    for siblings in deployments.values():
        current = {each.key for each in siblings if wanted is None or each.key in wanted}
        begun = any(each.stage in BEGUN and each.key in current for each in siblings)
        installed = [each.key for each in siblings if each.stage is Stage.INSTALLED]
        last = installed[-1] if installed and not begun else None
        for each in siblings:
            stays = each.stage is Stage.REMOVING or (each.stage in HELD and each.key in current)
            if each.key == last or (stays and each.stage is not Stage.INSTALLED):
                kept.append(each)
            elif each.verified:
                kept.append(each.at(Stage.SUPERSEDED))
    return kept


def _write_down(revisions: Iterable[Revision], ledger: Ledger) -> None:
    """Remember `revisions`; of a deployment whose wanted revision was given up, that one is reported."""
    given_up = {each.deployment_id: each for each in revisions if each.stage in GIVEN_UP}
    for each in revisions:
        behind = given_up.get(each.deployment_id)
        if behind is not None and each.stage is Stage.INSTALLED:
            ledger.roll_back(behind, each)
        else:
            ledger.record(each)


def _say(store: Store, kind: str, message: str) -> None:
    log.error(message)
    store.record(kind, message)
