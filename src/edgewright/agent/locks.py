"""One watch and one round at a time: lock files that a process holds for as long as it lives.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import fcntl
import os

from edgewright.protocol.errors import EdgewrightError


class AlreadyRunningError(EdgewrightError):
    """Another process already looks after this state directory."""

    code = "agent.already-running"


def lock(path: str) -> int:
    """Return a descriptor that holds the lock file `path` until it is closed; raise AlreadyRunningError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise AlreadyRunningError(
            f"{path}: held by process {holder or '?'}, which is at work already"
        ) from None
    # In place of another's, and as long as that: a full disk has no room for anything new.
    os.pwrite(descriptor, f"{os.getpid():<10}\n".encode("ascii"), 0)
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
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None
