"""What is remembered of a revision, kept a second time beside its files: for the day the database is lost.

A mark and a copy of its document, written when a round ends if they are news, deleted with the revision's
directory. A mark may be a round behind; it is judged by what was accepted and what runs (`recovery.py`).
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec

from edgewright.agent.paths import Paths
from edgewright.agent.state.durable import make_directory, write_whole
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.revisions import WAITING, Revision
from edgewright.protocol.digests import digest_of

_MARK, _DOCUMENT = ".revision", ".document"  # no component's directory starts with a dot (paths.segment)


def save_markers(paths: Paths, objects: Objects, revisions: Iterable[Revision]) -> None:
    """Write down each revision that was begun, where that is news."""
    for revision in revisions:
        if revision.stage in WAITING:
            continue  # taken up from the manifest again
        directory = paths.revision(*revision.key)
        make_directory(directory)
        if load_marker(os.path.join(directory, _MARK)) != revision:
            body = msgspec.json.encode(revision)
            write_whole(os.path.join(directory, _MARK), digest_of(body).encode() + b"\n" + body)
        document = os.path.join(directory, _DOCUMENT)
        data = None if os.path.exists(document) else objects.load(revision.digest)
        if data is not None:
            write_whole(document, data)


def restore_documents(paths: Paths, objects: Objects, keys: Iterable[tuple[str, str]]) -> list[str]:
    """Put back documents that are lost from their copies; return the deployments this was done for.

    `keys` are deployment id and digest.
    """
    restored = []
    for deployment_id, digest in keys:
        if objects.load(digest) is not None:
            continue
        with suppress(OSError):
            with open(os.path.join(paths.revision(deployment_id, digest), _DOCUMENT), "rb") as file:
                data = file.read()
            if digest_of(data) == digest:
                objects.save(digest, data)
                restored.append(deployment_id)
    return restored


def load_markers(paths: Paths) -> Iterator[Revision]:
    """Yield what can be read of all deployments, in no particular order."""
    for deployment in _inside(paths.projects):
        for directory in _inside(deployment):
            revision = load_marker(os.path.join(directory, _MARK))
            if revision is not None and paths.revision(*revision.key) == directory:
                yield revision


def load_marker(path: str) -> Revision | None:
    """Return one; None where there is none, and for a damaged one, which is as good as none."""
    try:
        with open(path, "rb") as file:
            digest, _, body = file.read().partition(b"\n")
        return msgspec.json.decode(body, type=Revision) if digest_of(body).encode() == digest else None
    except (OSError, msgspec.DecodeError):
        return None


def _inside(directory: str) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return [os.path.join(directory, name) for name in os.listdir(directory)]
    return []
