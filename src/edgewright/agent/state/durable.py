"""Writing a small file so that a name that is there is whole, and stays after a power cut.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os


def write_whole(path: str, data: bytes) -> None:
    """Write `path`, readable by its owner alone, in one durable step: it is the old content or the new."""
    unfinished = f"{path}.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    os.replace(unfinished, path)
    sync_directory(os.path.dirname(path))


def sync_directory(directory: str) -> None:
    """Make sure that names just made in `directory` survive a power cut."""
    descriptor = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str) -> None:
    """Make `path`, for its owner alone, and what is missing above it, so that they survive a power cut."""
    if not os.path.isdir(path):
        above = os.path.dirname(path)
        make_directory(above)
        os.makedirs(path, mode=0o700, exist_ok=True)
        sync_directory(above)
