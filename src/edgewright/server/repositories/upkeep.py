"""Keeps a repository small on this server's disk, however long it is used.

What was written for a device stays, every commit of it: a device that was away for years has to find the
commit it took up last. Of what devices report, which is read and kept elsewhere, only the newest commits
stay.
"""

import os
import time
from typing import Final

from edgewright.protocol.repository import CURRENT, DESIRED
from edgewright.server.repositories.bare import Bare, RepositoryError, run_git

# Git keeps loose objects in 256 folders by their first byte: one folder tells how many there are in all.
MOST_LOOSE: Final = 2_000
MOST_PACKS: Final = 20
KEEP_REPORTS: Final = 1_000
_SAMPLED: Final = "17"
_SECONDS: Final = 600
# What Git writes before a branch names it is younger than this.
_YOUNG: Final = "2.hours.ago"
_MARK: Final = "edgewright-upkeep"
_AT_LEAST_SECONDS: Final = 24 * 3600


def is_large(bare: Bare) -> bool:
    """Whether there is something to clear up."""
    objects = bare.path / "objects"
    loose = sum(1 for _ in (objects / _SAMPLED).glob("*")) * 256
    packs = sum(1 for _ in (objects / "pack").glob("*.pack"))
    return loose > MOST_LOOSE or packs > MOST_PACKS


def keep_small(bare: Bare, *, now: float | None = None) -> bool:
    """Clear up if there is something to, once a day at most; return whether anything was done."""
    moment = time.time() if now is None else now
    mark = bare.path / _MARK
    if not bare.exists or not is_large(bare):
        return False
    if mark.exists() and 0 <= moment - mark.stat().st_mtime < _AT_LEAST_SECONDS:
        return False
    clear_up(bare)
    mark.touch()
    os.utime(mark, (moment, moment))
    return True


def clear_up(bare: Bare, *, keep: int = KEEP_REPORTS, young: str = _YOUNG) -> None:
    """Cut `current` behind its newest commits and pack everything that is left."""
    _cut(bare, keep)
    _git(bare, "repack", "-a", "-d", "-q", "--unpack-unreachable=" + young)
    _git(bare, "prune", "--expire=" + young)


def _cut(bare: Bare, keep: int) -> None:
    """Have the history of `current` end after `keep` commits; who has a longer one can still push to it."""
    if bare.branch(CURRENT) is None:
        return
    listed = _git(bare, "rev-list", "--first-parent", f"--max-count={keep + 1}", CURRENT).split()
    if len(listed) <= keep:
        return
    end = listed[keep - 1]
    if _is_shared(bare, end):
        return
    # Git reads this file as where history ends (gitrepository-layout, shallow).
    staged = bare.path / f"shallow.{os.getpid()}"
    staged.write_text(f"{end}\n", "ascii")
    staged.replace(bare.path / "shallow")


def _is_shared(bare: Bare, commit: str) -> bool:
    """Whether what was written for the device has this commit in its history, which must stay whole."""
    branches = _git(bare, "for-each-ref", f"--contains={commit}", "--format=%(refname)", DESIRED)
    return bool(branches.strip())


def _git(bare: Bare, *arguments: str) -> str:
    done = run_git(bare, *arguments, seconds=_SECONDS)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise RepositoryError(f"{bare.path}: git {arguments[0]}: {said[-1] if said else 'failed'}")
    return done.stdout.decode("utf-8", errors="replace")
