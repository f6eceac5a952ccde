"""Application packages as they arrive: an archive of a folder, or the parts a registry holds (spec: 15,
18).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewright.protocol.archive import (
    ZIP_MAGIC,
    File,
    Limits,
    pack_directory_entries,
    read_archive,
    read_zip,
)
from edgewright.protocol.description import ApplicationDescription
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import ArchiveError, DocumentError

DESCRIPTION_FILE = "margo.yaml"
LIMITS = Limits(total=64 << 20, entries=2_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that can be deployed.

    `text` is the description as its author wrote it, `files` maps the path of each resource it names to
    its content, `digest` is over all of these.
    """

    description: ApplicationDescription
    text: bytes
    files: Mapping[str, bytes]
    digest: str


def read_package(archive: bytes, *, source: str = "package") -> Package:
    """Read the gzip tar or zip of a package folder, `margo.yaml` at its root or in its only top directory.

    Raises `ArchiveError` for a hostile or damaged archive, `DocumentError` for a wrong description.
    """
    read = read_zip if archive.startswith(ZIP_MAGIC) else read_archive
    entries = read(archive, source=source, limits=LIMITS).entries
    files = {
        path: entry.data
        for path, entry in entries.items()
        if isinstance(entry, File) and not _is_debris(path)
    }
    root = _root_of(files, source)
    inside = {path.removeprefix(root): data for path, data in files.items() if path.startswith(root)}
    return make_package(inside[DESCRIPTION_FILE], inside, source=source)


def make_package(text: bytes, files: Mapping[str, bytes], *, source: str = "package") -> Package:
    """Return the package of a description and the files at hand; only files that the description names are
    kept.

    Raises `DocumentError` naming the place in the description where a file is named that is not there.
    """
    where = f"{source}: {DESCRIPTION_FILE}"
    description = ApplicationDescription.parse(text, source=where)
    resources = description.resources
    missing = tuple(
        (f"$.metadata.catalog.application.{role}", f"there is no file '{path}' in the package")
        for role, path in resources.items()
        if path not in files
    )
    if missing:
        raise DocumentError(missing[0][1], source=where, path=missing[0][0], problems=missing)
    kept = {path: files[path] for path in sorted(set(resources.values()))}
    whole = {DESCRIPTION_FILE: text, **kept}
    digest = digest_of(pack_directory_entries({path: (data, 0o644) for path, data in whole.items()}))
    return Package(description=description, text=text, files=kept, digest=digest)


def _is_debris(path: str) -> bool:
    """Whether a file is what some systems leave in every archive they make, and nobody's content."""
    steps = path.split("/")
    return "__MACOSX" in steps or steps[-1] == ".DS_Store" or steps[-1].startswith("._")


def _root_of(files: Mapping[str, bytes], source: str) -> str:
    """Return the prefix of the paths that belong to the package."""
    if DESCRIPTION_FILE in files:
        return ""
    tops = {path.split("/", 1)[0] for path in files}
    root = f"{next(iter(tops))}/" if len(tops) == 1 else ""
    if not root or f"{root}{DESCRIPTION_FILE}" not in files:
        raise ArchiveError(
            f"{source}: there is no {DESCRIPTION_FILE} at the root or in the only top directory"
        )
    return root
