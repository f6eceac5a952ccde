"""Reads commits that people made out of a bare repository, as far as it takes to judge them."""

from edgewright.net.git.program import Git, GitError
from edgewright.protocol.repository import MOST_ENTRIES
from edgewright.server.domain.hand_made import (
    MOST_DEPTH,
    PLAIN,
    Commit,
    Entry,
    Refused,
    Snapshot,
    is_read,
    size_limit,
)

_MOST_BYTES = 4 * 1024 * 1024


def read_snapshot(git: Git, commit: str) -> Snapshot:
    """Return the tree of a commit; raises GitError where no device would look into it."""
    tree = git.read_tree(commit, most=MOST_ENTRIES, depth=MOST_DEPTH)
    entries = [
        Entry(path=path, mode=entry.mode, id=entry.id, size=entry.size)
        for path, entry in tree.items()
        if entry.kind != "tree"
    ]
    wanted = {
        entry.path: entry.id
        for entry in entries
        if entry.mode in PLAIN and is_read(entry.path) and entry.size <= size_limit(entry.path)
    }
    blobs = git.read_objects(wanted.values(), limit=_MOST_BYTES, kind="blob")
    return Snapshot(entries=tuple(entries), contents={path: blobs[blob] for path, blob in wanted.items()})


def read_author(git: Git, commit: str) -> Commit:
    """Return who made a commit."""
    name, _, address = git.read_commit(commit).author.rpartition(" <")
    return Commit(id=commit, name=name, email=address.removesuffix(">"))


def look(git: Git, commit: str) -> Snapshot | Refused:
    """Return the tree of a commit, or why nobody would look into it."""
    try:
        return read_snapshot(git, commit)
    except GitError as error:
        if error.code not in {"git.refused", "git.too-large"}:
            raise
        return Refused(reasons=(str(error),))
