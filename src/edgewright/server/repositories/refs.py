"""Where the branches of the hosted repositories stand, kept in memory: nearly every request asks only that.

Read from the files that Git itself keeps, at the first use and whenever they changed since. Every way of
moving a branch replaces a file in `refs/heads` or `packed-refs`, so two looks at their times tell, whoever
moved it: this server, a push, or a person with `git` in the directory.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from edgewright.protocol.repository import CURRENT, DESIRED
from edgewright.server.repositories.bare import Bare

# A file that changed so shortly before it was read may change again without its time telling.
_YOUNG_NANOSECONDS = 100_000_000

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class RefTable:
    """The commits that the two branches are at; None where there is none yet."""

    desired: str | None
    current: str | None

    def listed(self) -> list[tuple[str, str]]:
        """Return (name, commit) of the branches there are, in Git's order."""
        both = ((CURRENT, self.current), (DESIRED, self.desired))
        return [(name, commit) for name, commit in both if commit is not None]


class Refs:
    """The branches of every repository below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[Stamp, RefTable]] = {}

    def path_of(self, client_id: str) -> Path:
        """Return where the repository of a client is, or would be."""
        return self._root / f"{client_id}.git"

    def of(self, client_id: str) -> RefTable | None:
        """Return where the branches of a client's repository stand, None without a repository.

        Raises `RepositoryError` where that cannot be read: a device must not hear that a branch is gone.
        """
        path = self.path_of(client_id)
        stamp = _stamp(path)
        if stamp is None:
            self._known.pop(client_id, None)
            return None
        known = self._known.get(client_id)
        if known is not None and known[0] == stamp:
            return known[1]
        bare = Bare(path)
        table = RefTable(bare.branch(DESIRED), bare.branch(CURRENT))
        if time.time_ns() - max(stamp[0], stamp[1]) > _YOUNG_NANOSECONDS:
            self._known[client_id] = (stamp, table)
        return table


def _stamp(path: Path) -> Stamp | None:
    """Return what changes with every movement of a branch, None where there is no repository."""
    try:
        heads = os.stat(f"{path}/refs/heads")  # noqa: PTH116 - a path object each would cost more than the look
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        packed = os.stat(f"{path}/packed-refs")  # noqa: PTH116
    except FileNotFoundError:
        return heads.st_mtime_ns, 0, 0, 0
    return heads.st_mtime_ns, packed.st_mtime_ns, packed.st_size, packed.st_ino
