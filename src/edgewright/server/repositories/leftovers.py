"""What is left in a repository of a push that was cut off: alone, or together with the whole machine.

A program of Git's that is told to end removes its locks, and leaves what it has received to others.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from edgewright.protocol.repository import CURRENT

# Nothing that is at work is as old as that.
_STALE_SECONDS = 900.0


@contextlib.contextmanager
def tidied(path: Path) -> Iterator[None]:
    """Have nothing be left, before and after, of a push into the repository that the block is.

    Nobody else may push into it meanwhile, but for what a killed server started: that has its time.
    """
    _remove_stale(path)
    others = set(_received(path))
    try:
        yield
    finally:
        for left in set(_received(path)) - others:
            shutil.rmtree(left, ignore_errors=True)


def _remove_stale(path: Path) -> None:
    """Remove a lock and half-received objects that nobody can be at work on any more."""
    before = time.time() - _STALE_SECONDS
    with contextlib.suppress(FileNotFoundError):
        lock = path / f"{CURRENT}.lock"
        if lock.stat().st_mtime < before:
            lock.unlink()
    for left in _received(path):
        with contextlib.suppress(FileNotFoundError):
            if left.stat().st_mtime < before:
                shutil.rmtree(left)


def _received(path: Path) -> Iterator[Path]:
    for pattern in ("tmp_objdir-*", "incoming-*"):
        yield from (path / "objects").glob(pattern)
