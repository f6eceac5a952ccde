"""Accept: a received manifest replaces the accepted one in a single durable step, or not at all.

Not before every document it names is on disk with the right digest (spec: DS-13, DS-14, DS-23), and never
one whose version is not greater (spec: DS-12). The order is the specification's (9.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewright.agent import log
from edgewright.agent.answers import RefusalError
from edgewright.agent.failpoints import hit
from edgewright.agent.manners import QuietError
from edgewright.agent.objects import Objects
from edgewright.agent.session import Session
from edgewright.agent.sources import api
from edgewright.agent.store import SECURITY, SERVER, Manifest, Store
from edgewright.net.http import AnswerTooLargeError
from edgewright.protocol.bundle import unpack_bundle
from edgewright.protocol.errors import ArchiveError, DigestMismatchError, DocumentError, EdgewrightError
from edgewright.protocol.manifest import DeploymentReference, StateManifest


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
            f"{stored}, which was accepted before (spec: DS-12)",
        )
    return Acceptable(manifest)


def accept(store: Store, objects: Objects, session: Session) -> EdgewrightError | None:
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
            return _take_up(store, objects, session, received, manifest)
    return None


def _take_up(
    store: Store, objects: Objects, session: Session, received: Manifest, manifest: StateManifest
) -> EdgewrightError | None:
    try:
        # A bundle that was not what it should be is not asked for twice in a row.
        fetch_documents(session, objects, manifest, may_bundle=received.failures % 2 == 0)
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
    session: Session, objects: Objects, manifest: StateManifest, *, may_bundle: bool = True
) -> None:
    """Bring every document of `manifest` that is not here into `objects` (spec: DS-17).

    More than one come as the bundle; where that is not to be had, and for a single one, they come one
    by one. A wrong digest ends it (spec: DS-14). Raises what the session and the digests raise.
    """
    missing = [each for each in manifest.deployments if objects.load(each.digest) is None]
    if len(missing) > 1 and may_bundle and manifest.bundle is not None:
        for reference, data in _from_bundle(session, manifest, missing).items():
            objects.save(reference.digest, data)
            missing.remove(reference)
    for reference in missing:
        data = api.fetch_document(session, reference.url, reference.digest)
        objects.save(reference.digest, data)


def _from_bundle(
    session: Session, manifest: StateManifest, missing: list[DeploymentReference]
) -> Mapping[DeploymentReference, bytes]:
    """Return the missing documents out of the bundle; nothing when there is no usable bundle."""
    assert manifest.bundle is not None  # noqa: S101 - the caller looked
    try:
        data = api.fetch_bundle(session, manifest.bundle.url, manifest.bundle.digest)
        found = unpack_bundle(data, manifest)
    except (RefusalError, ArchiveError, DocumentError, api.TooLargeError, AnswerTooLargeError) as error:
        if isinstance(error, RefusalError) and error.retryable:
            raise
        log.warning(f"the bundle cannot be used, documents are fetched one by one: {error}")
        return {}
    return {reference: found[reference.deployment_id] for reference in missing}
