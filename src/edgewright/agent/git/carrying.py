"""Bundles of Git, for sites without a link: `desired` comes in by a file, `current` goes out by one.

A bundle is trusted no more than a connection: what is in it is judged by the same courier (spec: GR-49 to
GR-51). What goes out is pushed into a repository of our own first, `export.git` in the state directory, and
is packed from there as a whole, so that no bundle needs another one. That repository begins anew when its
history has become long; the reader takes the head as a whole then (spec: GR-36).
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from edgewright.agent.courier import Errand, opened, run_errands
from edgewright.agent.git import notes
from edgewright.agent.git.access import GitAccess
from edgewright.agent.paths import Paths
from edgewright.agent.state.store import Store
from edgewright.agent.talk.session import Identity
from edgewright.net.git.program import Git, GitError
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.repository import CURRENT, DESIRED

MOST_COMMITS = 2000
"""How many commits of `current` go along at most: a year of a device that reports a few times a day."""
_PATIENCE_SECONDS = 60.0
"""How long a person's command waits for a courier of the agent's that is on its way just then."""
_SIGNATURES = (b"# v2 git bundle\n", b"# v3 git bundle\n")


class BundleError(EdgewrightError):
    """The file is no bundle that this device can use, or cannot be written."""

    code = "git.bad-bundle"


@dataclass(frozen=True, slots=True)
class Taken:
    """The bundle's head of `desired` is what the device goes by now; `is_new` unless it was already."""

    commit: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The bundle was refused, and nothing has changed; `reason` for people."""

    commit: str
    reason: str


def bring_in(paths: Paths, file: str) -> Taken | NotTaken:
    """Judge the `desired` in the bundle `file`, and take it up or refuse it.

    A round brings it about. Raises BundleError, GitError, AlreadyRunningError, what the identity raises.
    """
    _need_repository(paths)
    path = os.path.abspath(file)
    _check_bundle(path, file)
    with opened(paths, _nobody, bundle=path, patience=_PATIENCE_SECONDS) as errand:
        errand.repository.open()
        head = _heads(errand, file).get(DESIRED)
        if head is None:
            raise BundleError(
                f"{file}: there is no branch 'desired' in it; it is made by "
                "'git bundle create FILE desired' or 'edgewright repository bundle DEVICE'"
            )
        before = notes.taken_up(errand.store)
        run_errands(errand, fetching=True, pushing=False)
        refused = notes.refusal(errand.store)
        if refused is not None and refused.commit == head:
            return NotTaken(head, refused.reason)
        return Taken(head, is_new=head != before)


def take_out(paths: Paths, file: str) -> int:
    """Write all that there is to report into the bundle `file`; return how many commits are in it.

    Raises BundleError, GitError, AlreadyRunningError, what the identity raises.
    """
    _need_repository(paths)
    path = os.path.abspath(file)
    if not os.path.isdir(os.path.dirname(path)):
        raise BundleError(f"{file}: there is no such folder")
    repository = os.path.join(paths.root, "export.git")
    git = Git(repository)
    if git.is_there and _length(git) >= MOST_COMMITS:
        shutil.rmtree(repository)
    with opened(paths, _nobody, bundle=f"file://{repository}", patience=_PATIENCE_SECONDS) as errand:
        git.make(branch="current")
        run_errands(errand, fetching=False, pushing=True)
    if git.commit_of(CURRENT) is None:
        raise BundleError(
            "there is nothing to report yet; 'edgewright agent reconcile' looks at this device first"
        )
    _write(git, path, file)
    return _length(git)


def _need_repository(paths: Paths) -> None:
    if GitAccess.load(Identity(paths.identity).directory) is None:
        raise BundleError(
            "this device does not know whose commits to believe; 'edgewright agent transport git --git none: "
            "--signers FILE' tells it, and 'edgewright agent transport api' leads back"
        )


def _write(git: Git, path: str, file: str) -> None:
    """Let `path` be the bundle, whole or not at all."""
    try:
        descriptor, unfinished = tempfile.mkstemp(prefix=".bundle-", dir=os.path.dirname(path))
        os.close(descriptor)
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror}") from error
    try:
        git.run("bundle", "create", "--quiet", unfinished, CURRENT)
        os.chmod(unfinished, 0o644)  # not secret to those who carry it
        with open(unfinished, "rb") as written:
            os.fsync(written.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)


def _check_bundle(path: str, file: str) -> None:
    try:
        with open(path, "rb") as opened_file:
            signature = opened_file.read(len(_SIGNATURES[0]))
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror}") from error
    if signature not in _SIGNATURES:
        raise BundleError(f"{file}: this is no bundle of Git")


def _heads(errand: Errand, file: str) -> Mapping[str, str]:
    try:
        return errand.repository.heads()
    except GitError as error:
        raise BundleError(f"{file}: the bundle is damaged: {error}") from error


def _length(git: Git) -> int:
    if git.commit_of(CURRENT) is None:
        return 0
    return int(git.run("rev-list", "--count", CURRENT))


def has_news(paths: Paths) -> bool:
    """Whether something was taken in that a round has to bring about."""
    store = Store(paths.database)
    try:
        return store.received() is not None
    finally:
        store.close()


def _nobody(_: str) -> None:
    """Nobody listens: what came of it is returned."""
