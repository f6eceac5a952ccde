"""Documents out of this device's own copy of its repository, which the courier keeps (agent/courier.py)."""

from collections.abc import Iterable, Iterator

from edgewright.agent.git import notes
from edgewright.agent.state.store import Store
from edgewright.net.git.program import Git, GitError
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.manifest import DeploymentReference, StateManifest
from edgewright.protocol.repository import DOCUMENT_BYTES, deployment_file


class LostDocumentError(EdgewrightError):
    """The copy of the repository on this device has lost a document; the courier fetches it again."""

    code = "git.lost"
    retryable = True


class GitDocuments:
    """Reads the commits that were taken up; nothing here reaches the network."""

    def __init__(self, directory: str, store: Store) -> None:
        self._git = Git(directory)
        self._store = store

    def fetch(
        self,
        manifest: StateManifest,  # noqa: ARG002 - it is in the same commits
        missing: Iterable[DeploymentReference],
        *,
        may_bundle: bool,  # noqa: ARG002 - there are no bundles here
    ) -> Iterator[tuple[DeploymentReference, bytes]]:
        """Yield every document of `missing`; one that is not here lets the courier fetch everything again."""
        for reference in missing:
            yield reference, self.fetch_one(reference.deployment_id, reference.digest)

    def fetch_one(self, deployment_id: str, digest: str) -> bytes:
        """Return one document that is in a commit taken up last or about to be."""
        problem = "it is not in the repository"
        for commit in self._commits():
            try:
                data = self._git.read_blob(commit, deployment_file(deployment_id), limit=DOCUMENT_BYTES)
            except GitError as error:
                problem = str(error)
                continue
            if data is not None and digest_of(data) == digest:
                return data
        self._store.set_meta(notes.LOST, f"the document of {deployment_id} is lost")
        raise LostDocumentError(f"the document of {deployment_id} ({digest[:19]}): {problem}")

    def _commits(self) -> list[str]:
        received, accepted = self._store.received(), self._store.accepted()
        tags = [each.etag for each in (received, accepted) if each is not None]
        return [
            each for each in dict.fromkeys([*tags, notes.taken_up(self._store)]) if notes.is_commit_id(each)
        ]
