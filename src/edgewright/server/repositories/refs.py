"""Where the branches of the hosted repositories stand, kept in memory: nearly every request asks only that.

Read from the files that Git itself keeps, at the first use and whenever they changed since. Every way of
moving a branch replaces a file in `refs/heads` or `packed-refs`, so two looks at their times tell, whoever
moved it: this server, a push, or a person with `git` in the directory.
"""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from edgewright.protocol.repository import CURRENT, DESIRED

# A file that changed so shortly before it was read may change again without its time telling.
_YOUNG_NANOSECONDS = 100_000_000
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

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
        """Return where the branches of a client's repository stand, None without a repository."""
        path = self.path_of(client_id)
        stamp = _stamp(path)
        if stamp is None:
            self._known.pop(client_id, None)
            return None
        known = self._known.get(client_id)
        if known is not None and known[0] == stamp:
            return known[1]
        table = _read(path)
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


def _read(path: Path) -> RefTable:
    """Read both branches, first the file of each: Git removes it only once the branch is packed."""
    loose = {name: _loose(path / name) for name in (DESIRED, CURRENT)}
    packed = _packed(path / "packed-refs") if None in loose.values() else {}
    return RefTable(*(loose[name] or packed.get(name) for name in (DESIRED, CURRENT)))


def _loose(path: Path) -> str | None:
    try:
        text = path.read_text("ascii").strip()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None
    return text if _COMMIT.fullmatch(text) else None


def _packed(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition(" ") for line in lines)
    return {name: commit for commit, _, name in pairs if _COMMIT.fullmatch(commit)}
