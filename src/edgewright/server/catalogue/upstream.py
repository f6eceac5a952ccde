"""What a source has on offer at this moment: a registry's repositories, or a folder. Blocking.

Every call goes to the network or the disk and has an end; none is made from two threads at once. What says
nothing about a package (a registry that does not answer) is a `RegistryError` or `SourceError`; what is
wrong with a package is a `DocumentError` or an `ArchiveError`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgewright.net.oci import RegistryClient, RegistryError, RegistryNotFoundError, RegistryRefusedError
from edgewright.net.registries import RegistrySettings
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import ArchiveError, DocumentError
from edgewright.protocol.oci import OciReference
from edgewright.server.catalogue.imports import (
    MAX_DESCRIPTION_BYTES,
    MAX_RESOURCE_BYTES,
    NoPackageError,
    OtherVersionError,
    fetch_package,
)
from edgewright.server.domain.packages import DESCRIPTION_FILE, Package, make_package, read_package
from edgewright.server.domain.sources import is_wanted, wants_catalog
from edgewright.server.errors import ServerError

ARCHIVES = (".tar.gz", ".tgz", ".zip")
MAX_ARCHIVE_BYTES = 64 << 20
MOST_PLACES = 20_000
MAX_DEPTH = 8
# A registry that fails for so many repositories fails altogether.
MOST_UNREAD = 8


class SourceError(ServerError):
    """A source cannot be looked through; says why and what to do."""

    code = "source.failed"


class IgnoredError(ServerError):
    """What is there needs nobody's attention."""

    code = "source.ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """The places to look at; `unread` maps the beginning of places nothing is known of to the reason,
    `troubles` are what else a person has to be told."""

    places: tuple[str, ...]
    unread: Mapping[str, str] = field(default_factory=dict)
    troubles: tuple[str, ...] = ()

    def is_unread(self, place: str) -> bool:
        """Whether nothing can be said of a place this time."""
        return place.startswith(tuple(self.unread))


class Upstream(Protocol):
    """A source as it is now. `offers` comes first."""

    def offers(self) -> Offers:
        """List the places; raises `RegistryError` or `SourceError` where nothing can be listed at all."""
        ...

    def digest(self, place: str) -> str:
        """Return what changes whenever the content of a place does."""
        ...

    def package(self, place: str) -> Package:
        """Fetch what is at a place; raises `IgnoredError` besides what the module says."""
        ...

    def where(self, place: str) -> str:
        """Return how people are told a place."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class RegistryUpstream:
    """Repositories of one registry; a place is `repository:tag` (spec: REG-1, REG-6, REG-7)."""

    def __init__(self, host: str, settings: RegistrySettings, repositories: tuple[str, ...]) -> None:
        self._client = RegistryClient(host, settings)
        self._wanted = repositories
        self._found: frozenset[str] = frozenset()
        self._places: frozenset[str] = frozenset()

    def offers(self) -> Offers:
        """List the tags of every repository wanted, those the registry's catalogue names among them."""
        named = [name for name in self._wanted if "*" not in name]
        if wants_catalog(self._wanted):
            listed = (name for name in self._catalog() if is_wanted(name, self._wanted))
            self._found = frozenset(listed) - set(named)
        places: list[str] = []
        unread: dict[str, str] = {}
        troubles: list[str] = []
        for repository in [*named, *sorted(self._found)]:
            try:
                places += (f"{repository}:{tag}" for tag in self._client.tags(repository))
            except RegistryNotFoundError:
                # A catalogue may still name a repository whose last tag was removed.
                if repository in named:
                    troubles.append(f"the registry has no repository {repository}")
            except RegistryError as error:
                unread[f"{repository}:"] = str(error)
                if len(unread) > MOST_UNREAD:
                    raise
            if len(places) > MOST_PLACES:
                raise SourceError(
                    f"more than {MOST_PLACES} tags; name fewer repositories, or use patterns such as acme/*"
                )
        self._places = frozenset(places)
        return Offers(places=tuple(places), unread=unread, troubles=tuple(troubles))

    def digest(self, place: str) -> str:
        """Return the digest of the manifest the tag names."""
        repository, tag = _split(place)
        return self._client.manifest_digest(repository, tag)

    def package(self, place: str) -> Package:
        """Fetch a package. What else lies in a repository nobody named is ignored, as are second tags."""
        repository, tag = _split(place)
        try:
            return fetch_package(
                self._client, OciReference(host=self._client.host, repository=repository, tag=tag)
            )
        except NoPackageError as error:
            if repository in self._found:
                raise IgnoredError(f"no application package: {error.detail}") from error
            raise
        except OtherVersionError as error:
            other = f"{repository}:{error.version}"
            if other in self._places and self.digest(other) == self.digest(place):
                raise IgnoredError(f"another name for {error.version}") from error
            raise

    def where(self, place: str) -> str:
        """Return the place as a reference."""
        return f"oci://{self._client.host}/{place}"

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _catalog(self) -> list[str]:
        try:
            return self._client.catalog()
        except (RegistryNotFoundError, RegistryRefusedError) as error:
            raise SourceError(
                f"the registry does not list its repositories ({error}); name them one by one"
            ) from error


class FolderUpstream:
    """Packages in a folder on this machine, as folders with a `margo.yaml` or as archives of such.

    A place is the path within the folder. Nothing outside of it is read, whatever links say.
    """

    def __init__(self, root: Path) -> None:
        self._given = root
        self._root = root

    def offers(self) -> Offers:
        """List the package folders and archives, however deep up to a bound."""
        try:
            self._root = self._given.resolve(strict=True)
            list(os.scandir(self._root))
        except (OSError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its links turn in circles"
            raise SourceError(f"{self._given}: cannot be read: {reason}") from error
        unread: dict[str, str] = {}
        troubles: list[str] = []
        places: list[str] = []
        for place in self._walk(self._root, "", unread, troubles):
            places.append(place)
            if len(places) > MOST_PLACES:
                raise SourceError(f"{self._given}: more than {MOST_PLACES} packages")
        return Offers(places=tuple(sorted(places)), unread=unread, troubles=tuple(troubles))

    def digest(self, place: str) -> str:
        """Return a digest of what is at the place, which is read for that."""
        path = self._root / place
        if path.is_dir():
            text = self._bytes(place, DESCRIPTION_FILE, MAX_DESCRIPTION_BYTES)
            names = _files_below(path)
            listing = "\n".join(f"{name} {size} {changed}" for name, size, changed in names)
            return digest_of(text + b"\0" + listing.encode(errors="surrogateescape"))
        return digest_of(self._bytes(place, "", MAX_ARCHIVE_BYTES))

    def package(self, place: str) -> Package:
        """Read a package."""
        path = self._root / place
        if not path.is_dir():
            return read_package(self._bytes(place, "", MAX_ARCHIVE_BYTES), source=place)
        text = self._bytes(place, DESCRIPTION_FILE, MAX_DESCRIPTION_BYTES)
        return make_package(text, _Files(self, place), source=place)

    def where(self, place: str) -> str:
        """Return the place as a path."""
        return str(self._given / place)

    def close(self) -> None:
        """Nothing is open."""

    def file(self, place: str, name: str) -> bytes | None:
        """Return a file of a package folder, None where there is none."""
        if not os.path.lexists(self._root / place / name):
            return None
        return self._bytes(place, name, MAX_RESOURCE_BYTES)

    def _walk(self, folder: Path, prefix: str, unread: dict[str, str], troubles: list[str]) -> Iterator[str]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            unread[prefix] = f"{folder}: {error.strerror}"
            return
        if any(entry.name == DESCRIPTION_FILE for entry in entries):
            yield prefix.rstrip("/") or "."
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not entry.name.isprintable():
                troubles.append(f"{prefix}{entry.name!a}: a name that cannot be shown; rename it")
            elif entry.is_dir(follow_symlinks=False):
                if prefix.count("/") < MAX_DEPTH:
                    yield from self._walk(Path(entry.path), f"{prefix}{entry.name}/", unread, troubles)
            elif entry.is_file() and entry.name.endswith(ARCHIVES):
                yield f"{prefix}{entry.name}"

    def _bytes(self, place: str, name: str, limit: int) -> bytes:
        """Return the content of a file within the folder; raises `ArchiveError` for one too large or outside,
        `SourceError` for one that cannot be read."""
        path = self._root / place / name if name else self._root / place
        shown = f"{place}/{name}" if name else place
        try:
            real = path.resolve(strict=True)
            if not real.is_relative_to(self._root):
                raise ArchiveError(f"{shown}: is a link that leads out of the folder")
            if not real.is_file():
                raise SourceError(f"{shown}: is not a file")
            with real.open("rb") as file:
                data = file.read(limit + 1)
        except (OSError, RuntimeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SourceError(f"{shown}: cannot be read: {reason}") from error
        if len(data) > limit:
            raise ArchiveError(f"{shown}: is larger than {limit} bytes")
        return data


class _Files(Mapping[str, bytes]):
    """The files of a package folder by path, read only when asked for, and once."""

    def __init__(self, folder: FolderUpstream, place: str) -> None:
        self._folder = folder
        self._place = place
        self._read: dict[str, bytes | None] = {}

    def __getitem__(self, path: str) -> bytes:
        if path not in self._read:
            self._read[path] = self._folder.file(self._place, path)
        found = self._read[path]
        if found is None:
            raise KeyError(path)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(path for path, data in self._read.items() if data is not None)

    def __len__(self) -> int:
        return sum(data is not None for data in self._read.values())


def _split(place: str) -> tuple[str, str]:
    repository, _, tag = place.rpartition(":")
    return repository, tag


def _files_below(folder: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of change of every file of a package folder, sorted."""
    found: list[tuple[str, int, int]] = []
    for top, _, names in os.walk(folder):
        for name in names:
            path = Path(top) / name
            try:
                about = path.stat()
            except OSError:
                continue  # a link that leads nowhere: what names it is judged when the package is read
            found.append((str(path.relative_to(folder)), about.st_size, about.st_mtime_ns))
            if len(found) > MOST_PLACES:
                raise SourceError(f"{folder}: more than {MOST_PLACES} files")
    return sorted(found)


def failure_of(error: DocumentError | ArchiveError) -> tuple[tuple[str, str], ...]:
    """Return what is wrong with a package, path and message each."""
    if isinstance(error, DocumentError):
        return error.problems
    return (("$", str(error)),)
