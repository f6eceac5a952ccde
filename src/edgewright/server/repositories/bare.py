"""One bare repository on this server's disk: made, read through one `git cat-file`, written object by object.

Everything is on the disk before a branch names it, and a branch moves in one step, so that a crash at any
moment leaves the repository as it was, or as it was to become. Git itself may work in it at the same time.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from edgewright.net.git.environment import environment
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.repository import DESIRED
from edgewright.server.errors import ServerError
from edgewright.server.repositories.objects import DamagedObjectError, Kind, object_id, stored

CONFIG = b"""\
[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
	fsync = committed,loose-object
[gc]
	auto = 0
[receive]
	autogc = false
[maintenance]
	auto = false
"""
# The repositories may belong to another user than the one who runs a command (`--data`).
_SETTINGS = (("safe.directory", "*"),)
# Who is cut off while a branch moves leaves its lock; nobody holds one that long.
_LOCK_SECONDS = 60
_PIECE = 64 * 1024
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class RepositoryError(ServerError):
    """A repository here cannot be written or read."""

    code = "git.repository"


class MissingObjectError(EdgewrightError):
    """The repository does not have an object that it names."""

    code = "git.missing"


class TooLargeError(EdgewrightError):
    """An object is larger than it may be."""

    code = "git.too-large"


class Bare:
    """The bare repository at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether there is a repository."""
        return (self.path / "HEAD").exists()

    def create(self) -> None:
        """Make it, if there is none, in one step."""
        if self.exists:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.path.parent) as staged:
            made = Path(staged) / "made"
            for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
                (made / folder).mkdir(parents=True)
            _write(made / "config", CONFIG)
            _write(made / "HEAD", f"ref: {DESIRED}\n".encode())
            # A folder without HEAD is what a deletion left that was cut off.
            shutil.rmtree(self.path, ignore_errors=True)
            made.rename(self.path)
        _sync(self.path.parent)

    def delete(self) -> None:
        """Delete it with all that is in it."""
        if self.path.exists():
            (self.path / "HEAD").unlink(missing_ok=True)
            shutil.rmtree(self.path)

    def branch(self, name: str) -> str | None:
        """Return the commit a branch (its full name) is at, None if there is none.

        Its own file counts, and is read first: Git removes it only once the branch is packed. One that names
        no commit is an error, as by what was packed before the branch would seem to have gone back.
        """
        path = self.path / name
        try:
            text = path.read_text("ascii").strip()
        except (FileNotFoundError, NotADirectoryError):
            return self._packed(name)
        except (OSError, ValueError) as error:
            raise RepositoryError(f"{path}: {error}") from error
        if not _COMMIT.fullmatch(text):
            raise RepositoryError(f"{path}: expected the id of a commit, not {text[:80]!r}")
        return text

    def move(self, name: str, commit: str, *, expected: str | None) -> None:
        """Have a branch be at `commit`; raises `RepositoryError` if it is not where it is expected to be."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as lock:
            if self.branch(name) != expected:
                raise RepositoryError(f"{name} was moved by somebody else meanwhile")
            os.write(lock, f"{commit}\n".encode())

    def add(self, kind: Kind, body: bytes) -> str:
        """Keep an object; return its id."""
        name = object_id(kind, body)
        folder = self.path / "objects" / name[:2]
        path = folder / name[2:]
        if path.exists():
            return name
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            _sync(folder.parent)
        staged = folder / f"tmp_obj_{os.getpid()}_{name[2:]}"
        _write(staged, zlib.compress(stored(kind, body), 6), mode=0o444)
        staged.rename(path)
        _sync(folder)
        return name

    def _packed(self, name: str) -> str | None:
        path = self.path / "packed-refs"
        try:
            lines = path.read_text("ascii", errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RepositoryError(f"{path}: {error}") from error
        pairs = (line.partition(" ") for line in lines)
        return next(
            (commit for commit, _, packed in pairs if packed == name and _COMMIT.fullmatch(commit)), None
        )

    @contextmanager
    def reading(self) -> Iterator["Reader"]:
        """Read objects while the block runs."""
        with Reader(self.path) as reader:
            yield reader


class Reader:
    """Reads objects of one repository by `git cat-file --batch`, which runs as long as this is open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                ["git", f"--git-dir={self._path}", "cat-file", "--batch"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment(settings=_SETTINGS),
                cwd="/",
            )
        except OSError as error:
            self._errors.close()
            raise RepositoryError(f"the program git cannot be run: {error.strerror}; install git") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with _quiet():
                    pipe.close()
        self._errors.close()

    def get(self, name: str, kind: Kind, *, limit: int) -> bytes:
        """Return an object by its id; raises `MissingObjectError`, `TooLargeError`, `DamagedObjectError`.

        What is too large is passed over without being kept.
        """
        assert self._process.stdin is not None  # noqa: S101 - opened so
        assert self._process.stdout is not None  # noqa: S101 - opened so
        try:
            self._process.stdin.write(f"{name}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise self._broken() from error
        head = self._process.stdout.readline(1000).decode("utf-8", errors="replace").split()
        if len(head) == 2:
            raise MissingObjectError(f"the repository lacks the object {name[:40]}, which it names")
        if len(head) != 3 or not head[2].isdigit():
            raise self._broken()
        size = int(head[2])
        if size > limit:
            self._skip(size + 1)
            raise TooLargeError(f"has {size} bytes, at most {limit} are allowed")
        body = self._process.stdout.read(size + 1)
        if len(body) != size + 1:
            raise self._broken()
        if head[1] != kind:
            raise DamagedObjectError(f"the object {name[:40]} is a {head[1]}, expected a {kind}")
        return body[:-1]

    def _skip(self, size: int) -> None:
        assert self._process.stdout is not None  # noqa: S101 - opened so
        while size > 0:
            piece = self._process.stdout.read(min(size, _PIECE))
            if not piece:
                raise self._broken()
            size -= len(piece)

    def _broken(self) -> RepositoryError:
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read(2000).decode("utf-8", errors="replace").strip().splitlines()
        return RepositoryError(f"{self._path}: {said[-1] if said else 'git ended without a word'}")


def run_git(bare: Bare, *arguments: str, seconds: float) -> "subprocess.CompletedProcess[bytes]":
    """Run one of Git's programs on a repository, for `seconds` at most; its exit code is the caller's."""
    try:
        return subprocess.run(
            ["git", f"--git-dir={bare.path}", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(settings=_SETTINGS),
            cwd="/",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RepositoryError(f"{bare.path}: git {arguments[0]}: {error}") from error


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold Git's own lock of a branch; what is written to it is the branch when the block ends well."""
    lock = path.with_name(f"{path.name}.lock")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(lock, flags, 0o644)
    except FileExistsError as error:
        with _quiet():
            if time.time() - lock.stat().st_mtime > _LOCK_SECONDS:
                lock.unlink(missing_ok=True)
        raise RepositoryError(f"{lock}: somebody else moves the branch, or was cut off doing it") from error
    try:
        try:
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        lock.rename(path)
    except BaseException:
        lock.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextmanager
def _quiet() -> Iterator[None]:
    """Pass over that a file or pipe is gone already."""
    try:
        yield
    except OSError:
        return


def _write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
