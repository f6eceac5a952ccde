"""One watch and one round at a time: lock files that a process holds for as long as it lives.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import fcntl
import os

from edgewright.protocol.errors import EdgewrightError

NAME_BYTES = 11
"""How many bytes of a lock file are its holder's process id; what follows is the holder's own."""


class AlreadyRunningError(EdgewrightError):
    """Another process already looks after this state directory."""

    code = "agent.already-running"


def lock(path: str) -> int:
    """Return a descriptor that holds the lock file `path` until it is closed; raise AlreadyRunningError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while not _taken(descriptor, fcntl.LOCK_EX):
        # Who only looks (`holder`) shares it for an instant, and must not keep out whoever is to work here.
        if not _taken(descriptor, fcntl.LOCK_SH):
            process = _named(descriptor)
            os.close(descriptor)
            raise AlreadyRunningError(f"{path}: held by process {process or '?'}, which is at work already")
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.sched_yield()
    # In place of another's, and as long as that: a full disk has no room for anything new.
    os.pwrite(descriptor, b"%-10d\n" % os.getpid(), 0)
    return descriptor


def wait_for(path: str) -> int:
    """Return a descriptor that holds the lock file `path` until it is closed; wait as long as it takes."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def holder(path: str) -> int | None:
    """Return the process that holds the lock file `path`, None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return None if _taken(descriptor, fcntl.LOCK_SH) else _named(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, how: int) -> bool:
    """Take the lock of `descriptor` exclusively or shared, if nobody else is in the way."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _named(descriptor: int) -> int | None:
    """Return the process that the lock file names, None where it does not yet."""
    text = os.pread(descriptor, NAME_BYTES, 0).strip()
    return int(text) if text.isdigit() else None
