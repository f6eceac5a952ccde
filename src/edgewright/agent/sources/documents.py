"""The documents a manifest names, by whichever transport this device has: `accept.py` asks, never knows."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from edgewright.agent import log
from edgewright.agent.paths import Paths
from edgewright.agent.sources import api
from edgewright.agent.sources.git import GitDocuments
from edgewright.agent.state.store import Store
from edgewright.agent.talk.answers import RefusalError
from edgewright.agent.talk.session import GIT, Session
from edgewright.net.http import AnswerTooLargeError
from edgewright.protocol.bundle import unpack_bundle
from edgewright.protocol.errors import ArchiveError, DocumentError
from edgewright.protocol.manifest import DeploymentReference, StateManifest
from edgewright.protocol.media_types import deployment_path

Found = Iterator[tuple[DeploymentReference, bytes]]


class Documents(Protocol):
    """Where documents come from. Their bytes have the digests that name them, or the call fails.

    Failures are EdgewrightErrors; what was yielded before is good. `QuietError` is no failure.
    """

    def fetch(
        self, manifest: StateManifest, missing: Iterable[DeploymentReference], *, may_bundle: bool
    ) -> Found:
        """Yield every document of `missing`; `may_bundle`: several may come as the manifest's bundle."""
        ...

    def fetch_one(self, deployment_id: str, digest: str) -> bytes:
        """Return one document, whatever manifest it was in."""
        ...


class ApiDocuments:
    """Documents from the device API, by digest (spec: DS-17)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def fetch(
        self, manifest: StateManifest, missing: Iterable[DeploymentReference], *, may_bundle: bool
    ) -> Found:
        """More than one come as the bundle; where that is not to be had, and a single one, by themselves."""
        left = list(missing)
        if len(left) > 1 and may_bundle and manifest.bundle is not None:
            for reference, data in self._from_bundle(manifest, left).items():
                yield reference, data
                left.remove(reference)
        for reference in left:
            yield reference, api.fetch_document(self._session, reference.url, reference.digest)

    def fetch_one(self, deployment_id: str, digest: str) -> bytes:
        """Return one document, from where the specification says it is."""
        return api.fetch_document(self._session, deployment_path(deployment_id, digest), digest)

    def _from_bundle(
        self, manifest: StateManifest, missing: list[DeploymentReference]
    ) -> Mapping[DeploymentReference, bytes]:
        """Return the missing documents out of the bundle; nothing when there is no usable bundle."""
        assert manifest.bundle is not None  # noqa: S101 - the caller looked
        try:
            data = api.fetch_bundle(self._session, manifest.bundle.url, manifest.bundle.digest)
            found = unpack_bundle(data, manifest)
        except (RefusalError, ArchiveError, DocumentError, api.TooLargeError, AnswerTooLargeError) as error:
            if isinstance(error, RefusalError) and error.retryable:
                raise
            log.warning(f"the bundle cannot be used, documents are fetched one by one: {error}")
            return {}
        return {reference: found[reference.deployment_id] for reference in missing}


class TransportDocuments:
    """Documents by the transport of the identity in use, which may change at any time."""

    def __init__(self, session: Session, store: Store, paths: Paths) -> None:
        self._session = session
        self._store = store
        self._paths = paths

    def fetch(
        self, manifest: StateManifest, missing: Iterable[DeploymentReference], *, may_bundle: bool
    ) -> Found:
        """Yield every document of `missing`; with nothing missing nobody is asked, nor who we are."""
        left = list(missing)
        if left:
            yield from self._documents().fetch(manifest, left, may_bundle=may_bundle)

    def fetch_one(self, deployment_id: str, digest: str) -> bytes:
        """Return one document, whatever manifest it was in."""
        return self._documents().fetch_one(deployment_id, digest)

    def _documents(self) -> Documents:
        if self._session.identity.transport == GIT:
            return GitDocuments(self._paths.repository, self._store)
        return ApiDocuments(self._session)
