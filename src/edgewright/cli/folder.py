"""A folder as what would be packed of it: relative path to content and mode, read once.

What cannot travel in an archive is refused here, by name: links that leave the folder, devices,
names that are not UTF-8. Git's own folder is left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from edgewright.cli.errors import UsageError

Files = dict[str, tuple[bytes, int]]
LEFT_OUT = frozenset({".git", ".DS_Store", "__pycache__"})
MAX_BYTES = 64 * 1024 * 1024


def read_folder(folder: Path) -> Files:
    """Return every file below `folder`: path with `/`, sorted, to (content, 0o644 or 0o755).

    A link to a file inside the folder is read as that file. Raises UsageError for what cannot be packed.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: " + ("not a folder" if folder.exists() else "no such folder"))
    root = folder.resolve()
    files: Files = {}
    total = 0
    for path in sorted(_walk(root)):
        name = path.relative_to(root).as_posix()
        total += path.stat().st_size
        if total > MAX_BYTES:
            raise UsageError(f"{folder}: larger than {MAX_BYTES // 1024 // 1024} MiB")
        files[_utf8(name, folder)] = (path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)
    return files


def _walk(root: Path) -> Iterator[Path]:
    """Yield every packable file below `root`."""
    for directory, directories, names in os.walk(root):
        directories[:] = sorted(set(directories) - LEFT_OUT)
        for name in [*names, *(entry for entry in directories if (Path(directory) / entry).is_symlink())]:
            if name in LEFT_OUT:
                continue
            path = Path(directory) / name
            _check(path, root)
            yield path


def _check(path: Path, root: Path) -> None:
    """Refuse `path` unless it is a file, or a link to a file, inside `root`."""
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if not target.is_relative_to(root):
        raise UsageError(f"{path}: a link that leaves the folder cannot be packed")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path}: only files and folders can be packed")


def _utf8(name: str, folder: Path) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{folder}: the name {name!r} is not UTF-8") from error
    return name
