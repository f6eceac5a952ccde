"""Removes what a push left behind in a repository that was cut off together with the whole machine."""

import contextlib
import shutil
import time
from pathlib import Path

from edgewright.protocol.repository import CURRENT

# Nothing that is at work is as old as that.
_STALE_SECONDS = 900.0


def tidy(path: Path) -> None:
    """Remove a lock and half-received objects that nobody can be at work on any more."""
    before = time.time() - _STALE_SECONDS
    with contextlib.suppress(FileNotFoundError):
        lock = path / f"{CURRENT}.lock"
        if lock.stat().st_mtime < before:
            lock.unlink()
    for pattern in ("tmp_objdir-*", "incoming-*"):
        for left in (path / "objects").glob(pattern):
            with contextlib.suppress(FileNotFoundError):
                if left.stat().st_mtime < before:
                    shutil.rmtree(left)
