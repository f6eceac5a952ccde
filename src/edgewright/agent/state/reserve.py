"""A little room kept back beside the state, for the day the disk is full.

Starting what is installed takes a few writes of its own, and a device has to do that after a power cut also
where logs or data have filled the disk. The room is given up then, once, and kept back again when there is
plenty.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import errno
import os
import sqlite3

from edgewright.agent import log

BYTES = 4 * 1024 * 1024
"""More than a round writes that only starts what is installed."""
PLENTY_BYTES = 16 * 1024 * 1024
_FULL = 13  # SQLITE_FULL
SCARCE_BYTES = 256 * 1024
"""What a database that is opened takes, and more."""


def path_in(root: str) -> str:
    """Return where the room is kept back in the state directory `root`."""
    return os.path.join(root, "reserve")


def keep_back(root: str) -> None:
    """Keep the room back if it is not and there is plenty; where that fails there will be another time."""
    path = path_in(root)
    if os.path.exists(path) or free_bytes(root) < PLENTY_BYTES:
        return
    unfinished = f"{path}.new"
    try:
        file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, BYTES)
        finally:
            os.close(file)
        os.replace(unfinished, path)
    except OSError as error:
        log.warning(f"{path}: no room can be kept back for a full disk: {error.strerror}")
        if os.path.exists(unfinished):
            os.unlink(unfinished)


def give_up(root: str) -> bool:
    """Give the room up; return whether there was any."""
    try:
        os.unlink(path_in(root))
    except FileNotFoundError:
        return False
    log.warning(f"{root}: the disk is full; what was kept back for that is used to start what is installed")
    return True


def says_full(error: Exception, root: str) -> bool:
    """Whether `error`, met while working in `root`, comes from a full disk."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == _FULL:
        return True
    # A database that cannot even be opened for want of room says no more than that its disk failed.
    return isinstance(error, sqlite3.OperationalError) and free_bytes(root) < SCARCE_BYTES


def free_bytes(path: str) -> int:
    """Return how many bytes can be written where `path` is. Raises OSError if that is no place here."""
    told = os.statvfs(path)
    return told.f_bavail * told.f_frsize
