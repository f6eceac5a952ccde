"""Whether a component's files are the ones that were fetched, by the hashes taken then."""

import hashlib
import os
from collections.abc import Iterator, Mapping

PIECE_BYTES = 256 * 1024


def hash_files(directory: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return, by path below `directory`, what every file in `names` (files or directories) has to be."""
    return {path: _state(f"{directory}/{path}") for name in names for path in _walk(directory, name)}


def file_damage(directory: str, expected: Mapping[str, str]) -> str | None:
    """Return which of the files is damaged or gone; None if all are what they were."""
    for path, state in expected.items():
        try:
            found = _state(f"{directory}/{path}")
        except OSError as error:
            return f"{path}: {error.strerror}"
        if found != state:
            return f"{path}: its content is not what was fetched"
    return None


def _walk(directory: str, name: str) -> Iterator[str]:
    if os.path.islink(f"{directory}/{name}") or not os.path.isdir(f"{directory}/{name}"):
        yield name
        return
    yield f"{name}/"
    for entry in sorted(os.listdir(f"{directory}/{name}")):
        yield from _walk(directory, f"{name}/{entry}")


def _state(path: str) -> str:
    """Return what a file, link or directory is, in a word that changes with its content; raises OSError."""
    if path.endswith("/"):
        os.listdir(path)
        return "directory"
    if os.path.islink(path):
        return f"link to {os.readlink(path)}"
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"
