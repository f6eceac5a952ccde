"""Archives from strangers, read into memory and judged before anything is written (spec: CMP-5 to CMP-10).

`read_archive` and `read_zip` know no file system: they return what may be written, with names, links and
modes already judged. `pack_directory_entries` writes archives whose bytes depend on nothing but their
content.
"""

import gzip
import io
import stat
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from edgewright.protocol.errors import ArchiveError

if TYPE_CHECKING:
    import zipfile

COMPOSE_FILE: Final = "compose.yaml"
ZIP_MAGIC: Final = b"PK"
_MAX_NAME = 1024
_MAX_HOPS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an archive may hold; sizes in bytes, the total counts the unpacked tar with its headers."""

    total: int = 64 << 20
    entries: int = 10_000


@dataclass(frozen=True, slots=True)
class File:
    """A regular file; `mode` is 0o644 or 0o755 whatever the archive said (spec: CMP-10)."""

    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link, as written; where it leads has been checked to stay in its top directory."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What an archive holds: normalised relative path to entry, and all directories, parents first."""

    entries: Mapping[str, File | Symlink] = field(default_factory=dict)
    directories: tuple[str, ...] = ()


def read_archive(data: bytes, *, source: str, limits: Limits | None = None) -> Archive:
    """Read a gzip tar; raise ArchiveError naming `source` and the entry for anything damaged or hostile.

    Hard links become copies of the file they name. Names keep their case.
    """
    limits = limits or Limits()
    reading = _Reading(source)
    tar_bytes = _decompress(data, limits.total, source)
    try:
        with tarfile.open(fileobj=io.BytesIO(tar_bytes), mode="r:", encoding="utf-8", errors="strict") as tar:
            for count, member in enumerate(tar, 1):
                if count > limits.entries:
                    raise ArchiveError(f"{source}: more than {limits.entries} entries")
                reading.add(tar, member)
            rest = tar_bytes[tar.offset :]
    except UnicodeDecodeError:
        raise ArchiveError(f"{source}: an entry's name is not UTF-8") from None
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise ArchiveError(f"{source}: not a readable tar archive: {error}") from None
    if rest.strip(b"\0"):
        raise ArchiveError(f"{source}: damaged, or something follows the end of the archive")
    return reading.finish()


def read_zip(data: bytes, *, source: str, limits: Limits | None = None) -> Archive:
    """Read a zip as `read_archive` reads a gzip tar; links and encrypted entries are refused."""
    # For the server alone: a device gets no zip and has no use for these.
    import lzma  # noqa: PLC0415
    import zipfile  # noqa: PLC0415

    limits = limits or Limits()
    reading = _Reading(source)
    total = 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for count, member in enumerate(archive.infolist(), 1):
                if count > limits.entries:
                    raise ArchiveError(f"{source}: more than {limits.entries} entries")
                total += reading.add_zipped(archive, member, limits.total - total)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError) as error:
        raise ArchiveError(f"{source}: not a readable zip archive: {error}") from None
    except NotImplementedError as error:
        raise ArchiveError(f"{source}: packed in a way that is not understood: {error}") from None
    return reading.finish()


def compose_root(archive: Archive, *, source: str = "archive") -> str:
    """Return the name of the only top-level directory, which holds compose.yaml (spec: CMP-5, CMP-6)."""
    top = {path.split("/", 1)[0] for path in (*archive.entries, *archive.directories)}
    if len(top) != 1 or not top <= set(archive.directories):
        raise ArchiveError(f"{source}: expected exactly one top-level directory, found {sorted(top)[:5]}")
    (root,) = top
    if not isinstance(archive.entries.get(f"{root}/{COMPOSE_FILE}"), File):
        raise ArchiveError(f"{source}: expected a file {COMPOSE_FILE} in the directory {root!r}")
    return root


def pack_directory_entries(entries: Mapping[str, tuple[bytes, int]]) -> bytes:
    """Return a gzip tar of relative path to (content, mode): sorted, no times or owners, modes normalised."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        for directory in sorted({str(parent) for path in entries for parent in _parents(path)}):
            member = tarfile.TarInfo(directory)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        for path, (content, mode) in sorted(entries.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), _normal_mode(mode)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), compresslevel=9, mtime=0)


class _Reading:
    """Collects the members of one archive, refusing names and kinds as they come."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._entries: dict[str, File | Symlink] = {}
        self._directories: set[str] = set()

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = self._checked_name(member.name)
        if member.isdir():
            if path:
                self._directories.add(path)
            return
        if not path or path in self._entries:
            raise self._error(member.name, "appears twice" if path else "names the archive itself")
        if member.issym():
            self._entries[path] = Symlink(self._checked_target(member))
        elif member.islnk():
            self._entries[path] = self._linked(member)
        elif member.isreg() and not member.issparse():
            self._entries[path] = self._file(tar, member)
        else:
            raise self._error(member.name, "is neither file, directory nor link")

    def add_zipped(self, archive: "zipfile.ZipFile", member: "zipfile.ZipInfo", limit: int) -> int:
        """Add one entry of a zip; return its size, never more than `limit`."""
        name = member.filename if "/" in member.filename else member.filename.replace("\\", "/")
        path = self._checked_name(name)
        mode = member.external_attr >> 16
        if name.endswith("/"):
            if path:
                self._directories.add(path)
            return 0
        if not path or path in self._entries:
            raise self._error(name, "appears twice" if path else "names the archive itself")
        if member.flag_bits & 1:
            raise self._error(name, "is encrypted")
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            raise self._error(name, "is neither file nor directory")
        with archive.open(member) as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise ArchiveError(f"{self._source}: unpacks to more than is allowed")
        self._entries[path] = File(content, _normal_mode(mode))
        return len(content)

    def finish(self) -> Archive:
        for path in self._entries:
            self._directories.update(str(parent) for parent in _parents(path))
        for path in list(self._directories):
            self._directories.update(str(parent) for parent in _parents(path))
        if clash := self._directories & self._entries.keys():
            raise self._error(min(clash), "is used as a directory and is none")
        links = {path: entry.target for path, entry in self._entries.items() if isinstance(entry, Symlink)}
        for path, target in links.items():
            if not _stays_inside(path, links):
                raise self._error(path, f"links to {target!r}, outside its directory")
        return Archive(entries=dict(self._entries), directories=tuple(sorted(self._directories)))

    def _file(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> File:
        stream = tar.extractfile(member)
        content = stream.read() if stream else b""
        if len(content) != member.size:
            raise self._error(member.name, "is cut")
        return File(content, _normal_mode(member.mode))

    def _linked(self, member: tarfile.TarInfo) -> File:
        path, target = self._checked_name(member.name), self._checked_name(member.linkname)
        if path.split("/", 1)[0] != target.split("/", 1)[0]:
            raise self._error(member.name, "is a hard link out of its directory")
        entry = self._entries.get(target)
        if not isinstance(entry, File):
            raise self._error(member.name, f"is a hard link to {member.linkname!r}, no file before it")
        return entry

    def _checked_target(self, member: tarfile.TarInfo) -> str:
        target = member.linkname
        if not target or target.startswith("/") or _has_control(target) or len(target) > _MAX_NAME:
            raise self._error(member.name, f"links to {target[:80]!r}, which is not a relative path")
        return target

    def _checked_name(self, name: str) -> str:
        """Return `name` without `.` steps; refuse what could leave the place it is unpacked to."""
        if name.startswith("/") or len(name) > _MAX_NAME or _has_control(name):
            raise self._error(name, "is absolute, too long or holds control characters")
        steps = [step for step in name.split("/") if step not in {"", "."}]
        if ".." in steps or any(len(step.encode()) > 255 for step in steps):
            raise self._error(name, "has a step '..' or one of more than 255 bytes")
        return "/".join(steps)

    def _error(self, name: str, reason: str) -> ArchiveError:
        return ArchiveError(f"{self._source}: entry {name[:200]!r} {reason}")


def _decompress(data: bytes, limit: int, source: str) -> bytes:
    """Return the content of the one gzip member that `data` is, never more than `limit` bytes."""
    stream = zlib.decompressobj(wbits=31)
    try:
        content = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise ArchiveError(f"{source}: not a readable gzip archive: {error}") from None
    if len(content) > limit:
        raise ArchiveError(f"{source}: unpacks to more than {limit} bytes")
    if not stream.eof or stream.unused_data:
        raise ArchiveError(f"{source}: the gzip archive is cut, or something follows its end")
    return content


def _stays_inside(path: str, links: Mapping[str, str]) -> bool:
    """Follow the link at `path` as a file system would, through other links; tell whether it stays inside.

    Inside is the top-level directory the link itself is in; links that turn in circles are outside.
    """
    top, *here = path.split("/")
    steps = [*links[path].split("/")][::-1]
    here = here[:-1]
    hops = 1
    while steps:
        step = steps.pop()
        if step == "..":
            if not here:
                return False
            here.pop()
        elif step not in {"", "."}:
            here.append(step)
            if (target := links.get("/".join([top, *here]))) is not None:
                here.pop()
                steps.extend(reversed(target.split("/")))
                hops += 1
                if hops > _MAX_HOPS:
                    return False
    return True


def _parents(path: str) -> Iterator[PurePosixPath]:
    yield from list(PurePosixPath(path).parents)[:-1]


def _normal_mode(mode: int) -> int:
    return 0o755 if mode & 0o100 else 0o644


def _has_control(text: str) -> bool:
    return any(ord(character) < 0x20 or ord(character) == 0x7F for character in text)
