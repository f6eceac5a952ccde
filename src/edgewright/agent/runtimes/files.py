"""Writing a component's files so that a name that is there is whole and on the disk."""

import errno
import os
import re
import shutil
from contextlib import suppress

from edgewright.protocol.archive import Archive, File

_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)


def tells_of_full_disk(message: str) -> bool:
    """Tell whether a program gave a full disk as its reason."""
    return _FULL.search(message) is not None


def is_full_disk(error: OSError) -> bool:
    """Tell whether a call failed because there is no room left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: str, data: bytes, *, mode: int = 0o600) -> None:
    """Write `path` in one durable step: after a power cut it is the old content or the new."""
    temporary = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        _write(temporary, data, mode)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))


def materialise(archive: Archive, top: str, destination: str) -> None:
    """Write what is below directory `top` of a judged archive to `destination`, in place of what is there."""
    temporary = f"{destination}.new"
    remove_tree(temporary)
    os.makedirs(temporary, mode=0o755)
    prefix = f"{top}/"
    directories = [name.removeprefix(prefix) for name in archive.directories if name.startswith(prefix)]
    for name in sorted(directories):
        os.mkdir(f"{temporary}/{name}", 0o755)
    for path, entry in archive.entries.items():
        target = f"{temporary}/{path.removeprefix(prefix)}"
        if isinstance(entry, File):
            _write(target, entry.data, entry.mode)
        else:
            os.symlink(entry.target, target)
    for name in ["", *directories]:
        sync_directory(f"{temporary}/{name}")
    remove_tree(destination)
    os.rename(temporary, destination)
    sync_directory(os.path.dirname(destination))


def remove_tree(path: str) -> None:
    """Remove a directory with all that is in it; one that is not there is fine."""
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def _write(path: str, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # whatever the umask is, containers have to read it
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def sync_directory(path: str) -> None:
    """Let what was named in a directory be there after a power cut."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
