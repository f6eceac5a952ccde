"""What a push has to be before it moves a branch: Git's `pre-receive` hook, and how Git comes to run it.

The hook runs in a short-lived process of its own, standard library only, before any branch has moved and
while what was pushed is still apart from the repository. What it says on its error output appears in the
pusher's terminal.
"""

import contextlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from edgewright.protocol.repository import (
    CURRENT,
    DOCUMENT_BYTES,
    MOST_ENTRIES,
    SITE,
    SITE_BYTES,
    is_safe_name,
)

MOST_COMMITS = 10_000
MOST_DEPTH = 4
REPOSITORY_BYTES = 512 * 1024 * 1024
_HOOK = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    " from edgewright.server.repositories import receiving; sys.exit(receiving.main())"
)
_BLOB_MODES = frozenset({b"100644", b"100755"})
_TREE_MODE = b"40000"
_TREE_BYTES = 4 * 1024 * 1024


class RefusedError(Exception):
    """Why a push is refused, in words for who pushes."""


def install_hooks(root: Path) -> Path:
    """Write the hook into a folder beside the repositories, and return the folder."""
    folder = root / "hooks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    package = Path(__file__).parents[3]
    words = [sys.executable, "-I", "-S", "-B", "-c", _HOOK, str(package)]
    staged = folder / ".pre-receive.new"
    staged.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
    staged.chmod(0o700)
    staged.replace(folder / "pre-receive")
    return folder


def main() -> int:
    """Judge the push that Git tells of on standard input; 0 lets it pass."""
    try:
        check_room(Path("objects"))
        for line in sys.stdin.buffer.read().splitlines():
            old, new, name = line.decode(errors="replace").split(" ", 2)
            check_move(old, new, name)
            with Objects() as objects:
                for commit in new_commits(new):
                    check_tree(objects, commit)
    except RefusedError as error:
        print(f"refused: {error}", file=sys.stderr, flush=True)
        return 1
    except (OSError, ValueError) as error:
        print(f"refused: what was pushed cannot be checked: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def check_room(objects: Path) -> None:
    """Raise `RefusedError` where the repository has grown too large, with what was just pushed."""
    size = 0
    for path in objects.rglob("*"):
        # Packing replaces files meanwhile.
        with contextlib.suppress(FileNotFoundError):
            size += path.lstat().st_size
    if size > REPOSITORY_BYTES:
        raise RefusedError(
            f"the repository would have {size >> 20} MiB, at most {REPOSITORY_BYTES >> 20} are allowed;"
            " the fleet manager's operator can delete it and make it anew"
        )


def check_move(old: str, new: str, name: str) -> None:
    """Raise `RefusedError` unless the push moves the device's branch forward."""
    if name != CURRENT:
        raise RefusedError(f"{name}: a device writes {CURRENT} and nothing else")
    if not new.strip("0"):
        raise RefusedError(f"{name}: the branch cannot be deleted")
    if not old.strip("0"):
        return
    done = subprocess.run(["git", "merge-base", "--is-ancestor", old, new], check=False)
    if done.returncode != 0:
        raise RefusedError(
            f"{name}: {new[:12]} does not build on {old[:12]}, where the branch is; fetch it and build on it"
        )


def new_commits(new: str) -> Iterator[str]:
    """Return the commits that no branch has yet."""
    command = ["git", "rev-list", f"--max-count={MOST_COMMITS + 1}", new, "--not", "--all"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    commits = done.stdout.decode("ascii").split()
    if done.returncode != 0:
        raise RefusedError("the commits cannot be read")
    if len(commits) > MOST_COMMITS:
        raise RefusedError(f"more than {MOST_COMMITS} commits in one push; push them in parts")
    return iter(commits)


class Objects:
    """Looks objects up in two long-lived `git cat-file`; those that were looked at are remembered."""

    def __init__(self) -> None:
        self.entries: dict[tuple[bytes, str], int] = {}
        self.blobs: dict[bytes, int] = {}

    def __enter__(self) -> "Objects":
        self._content = _cat_file("--batch")
        self._sizes = _cat_file("--batch-check")
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._content, self._sizes):
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - piped
            process.stdin.close()
            process.stdout.close()
            process.wait()

    def size(self, name: str) -> tuple[bytes, int]:
        """Return type and size of an object."""
        return _ask(self._sizes, name)

    def tree(self, name: str) -> bytes:
        """Return the content of a tree, which must be no larger than one that is allowed."""
        kind, size = self.size(name)
        if kind != b"tree" or size > _TREE_BYTES:
            raise RefusedError(f"{name}: expected a folder of at most {_TREE_BYTES} bytes")
        _ask(self._content, name)
        assert self._content.stdout is not None  # noqa: S101 - piped
        content = self._content.stdout.read(size + 1)
        if len(content) != size + 1:
            raise RefusedError(f"{name}: the object cannot be read")
        return content[:-1]


def check_tree(objects: Objects, commit: str) -> None:
    """Raise `RefusedError` for a commit whose files are not what a device's branch may have."""
    count = _count(objects, f"{commit}^{{tree}}", "", 1, commit)
    if count > MOST_ENTRIES:
        raise RefusedError(f"{commit[:12]}: {count} files and folders; at most {MOST_ENTRIES} are allowed")


def entries_of(tree: bytes) -> Iterator[tuple[bytes, str, str]]:
    """Return (mode, name, object id) of each entry of a tree as Git keeps it."""
    at = 0
    while at < len(tree):
        space = tree.index(b" ", at)
        end = tree.index(b"\0", space)
        name = tree[space + 1 : end].decode("utf-8", errors="surrogateescape")
        yield tree[at:space], name, tree[end + 1 : end + 21].hex()
        at = end + 21


def _count(objects: Objects, tree: str, path: str, depth: int, commit: str) -> int:
    """Check a folder and all in it; return how many entries it has."""
    count = 0
    seen: set[str] = set()
    for mode, name, item in entries_of(objects.tree(tree)):
        where = f"{commit[:12]}: {path}{ascii(name)[1:-1]}"
        if not is_safe_name(name):
            raise RefusedError(
                f"{where}: names here are letters, digits, '.', '_' and '-', and begin with none"
            )
        if name.casefold() in seen:
            raise RefusedError(f"{where}: another name here differs in case alone")
        seen.add(name.casefold())
        count += 1
        if depth > MOST_DEPTH:
            raise RefusedError(f"{where}: folders are nested more than {MOST_DEPTH} deep")
        if mode == _TREE_MODE:
            key = (item.encode(), f"{path}{name}/")
            if key not in objects.entries:
                objects.entries[key] = _count(objects, item, key[1], depth + 1, commit)
            count += objects.entries[key]
        elif mode in _BLOB_MODES:
            _check_size(objects, item, f"{path}{name}", where)
        else:
            raise RefusedError(
                f"{where}: only plain files and folders are allowed (its mode is {mode.decode()})"
            )
        if count > MOST_ENTRIES:
            break
    return count


def _check_size(objects: Objects, item: str, path: str, where: str) -> None:
    limit = SITE_BYTES if path == SITE else DOCUMENT_BYTES
    key = item.encode()
    if key not in objects.blobs:
        objects.blobs[key] = objects.size(item)[1]
    if objects.blobs[key] > limit:
        raise RefusedError(f"{where}: {objects.blobs[key]} bytes; at most {limit} are allowed")


def _cat_file(mode: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["git", "cat-file", mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _ask(process: "subprocess.Popen[bytes]", name: str) -> tuple[bytes, int]:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - piped
    process.stdin.write(f"{name}\n".encode())
    process.stdin.flush()
    words = process.stdout.readline().split()
    if len(words) != 3:
        raise RefusedError(f"{name}: the object is missing or cannot be read")
    return words[1], int(words[2])
