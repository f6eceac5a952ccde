"""Accept: a received manifest replaces the accepted one in a single durable step, or not at all.

Not before every document it names is on disk with the right digest (spec: DS-13, DS-14, DS-23), and never
one whose version is not greater (spec: DS-12). The order is the specification's (9.3).
"""

from dataclasses import dataclass

from edgewright.agent import log
from edgewright.agent.failpoints import hit
from edgewright.agent.sources.documents import Documents
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.store import SECURITY, SERVER, Manifest, Store
from edgewright.agent.talk.manners import QuietError
from edgewright.protocol.errors import DigestMismatchError, DocumentError, EdgewrightError
from edgewright.protocol.manifest import StateManifest

LET_GO = "a person at this device may let it go by 'edgewright agent reset-version'"
"""The way out where something does not follow what was accepted before, and is meant like that (OP-16)."""


@dataclass(frozen=True, slots=True)
class Acceptable:
    """The manifest may be taken up, once its documents are here."""

    manifest: StateManifest


@dataclass(frozen=True, slots=True)
class Unchanged:
    """These are the accepted bytes once more (spec: OP-18)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The manifest is not taken up; `kind` is the kind of event that makes, `reason` for people."""

    kind: str
    reason: str


Judgement = Acceptable | Unchanged | Refused


def judge(received: Manifest, accepted: Manifest | None) -> Judgement:
    """Decide about `received`, given what was accepted last (spec: DS-12, DS-15, OP-17, OP-18).

    What another fleet manager made us accept sets no lower bound: its versions are another sequence. Of an
    accepted manifest that a damaged disk has lost the body is empty.
    """
    same_sequence = accepted is not None and accepted.relation == received.relation
    same_bytes = accepted is not None and same_sequence and accepted.digest == received.digest
    if accepted is not None and same_bytes and accepted.version and accepted.body:
        return Unchanged()
    try:
        manifest = StateManifest.parse(received.body, source="manifest")
    except DocumentError as error:
        return Refused(SERVER, f"the manifest was refused: {error}")
    # The very bytes that were accepted and are lost may come back; others of their version may not.
    stored = accepted.version if accepted is not None and same_sequence and not same_bytes else None
    if stored is not None and manifest.manifest_version <= stored:
        return Refused(
            SECURITY,
            f"the manifest was refused: version {manifest.manifest_version} is not greater than "
            f"{stored}, which was accepted before ({LET_GO}; spec: DS-12)",
        )
    return Acceptable(manifest)


def accept(store: Store, objects: Objects, documents: Documents) -> EdgewrightError | None:
    """Judge what is in the inbox and take it up; return what has to be tried again later, if anything."""
    received = store.received()
    if received is None:
        return None
    match judge(received, store.bound()):
        case Unchanged():
            store.drop_received(received)
        case Refused(kind, reason):
            log.warning(reason)
            with store.transaction():
                store.refuse(received)
                store.record(kind, reason)
        case Acceptable(manifest):
            return _take_up(store, objects, documents, received, manifest)
    return None


def _take_up(
    store: Store, objects: Objects, documents: Documents, received: Manifest, manifest: StateManifest
) -> EdgewrightError | None:
    try:
        # A bundle that was not what it should be is not asked for twice in a row.
        fetch_documents(documents, objects, manifest, may_bundle=received.failures % 2 == 0)
    except QuietError as error:
        return error
    except EdgewrightError as error:
        reason = f"manifest version {manifest.manifest_version} cannot be taken up: {error}"
        log.warning(reason)
        with store.transaction():
            store.note_failure(received, reason)
            if received.problem != reason:
                store.record(SECURITY if isinstance(error, DigestMismatchError) else SERVER, reason)
        return error
    received.version = manifest.manifest_version
    hit("accept.fetched")
    store.accept(received)
    hit("accept.committed")
    log.info(f"manifest version {manifest.manifest_version}: {len(manifest.deployments)} deployments")
    return None


def fetch_documents(
    documents: Documents, objects: Objects, manifest: StateManifest, *, may_bundle: bool = True
) -> None:
    """Bring every document of `manifest` that is not here into `objects`.

    A wrong digest ends it (spec: DS-14). Raises what `documents` raise.
    """
    missing = [each for each in manifest.deployments if objects.load(each.digest) is None]
    for reference, data in documents.fetch(manifest, missing, may_bundle=may_bundle):
        objects.save(reference.digest, data)
