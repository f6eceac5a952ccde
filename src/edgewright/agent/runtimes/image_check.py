"""Whether an image on an engine still is what its digests say: every layer is read and hashed anew.

The engine streams the image as a tar archive (`images/{id}/get`); it is hashed as it passes and never held.
"""

import hashlib
import json
import os
import posixpath
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import quote

from edgewright.agent.runtimes import ComponentError, EngineError
from edgewright.agent.runtimes.engine import Engine

SILENCE_SECONDS = 1800.0  # an engine may copy the whole image aside before it sends the first byte
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 256 * 1024


class _UnreadableError(Exception):
    """The archive is not one."""


@dataclass(slots=True)
class _Archive:
    """What passed by: digest by name, the target of each link, and the content of small documents."""

    digests: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)

    def digest(self, name: str) -> str:
        return self.digests.get(self.links.get(name, name), "")


def image_damage(engine: Engine, image_id: str) -> str | None:
    """Return what is wrong with an image, None if every byte of it is what it was when it was built.

    Raises EngineError where the engine does not answer, which says nothing about the image.
    """
    try:
        archive = _read(engine, image_id)
        return _damage(image_id, archive)
    except (_UnreadableError, tarfile.TarError, KeyError, IndexError, TypeError, ValueError) as error:
        return f"its content cannot be read ({error})"


def _read(engine: Engine, image_id: str) -> _Archive:
    archive = _Archive()
    with _exported(engine, image_id) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            if member.isreg():
                _hash(tar, member, archive)
            elif member.issym() or member.islnk():
                base = posixpath.dirname(member.name) if member.issym() else ""
                archive.links[member.name] = posixpath.normpath(posixpath.join(base, member.linkname))
    return archive


def _hash(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: _Archive) -> None:
    file = tar.extractfile(member)
    if file is None:
        raise _UnreadableError(member.name)
    document = bytearray()
    hasher = hashlib.sha256()
    while piece := file.read(PIECE_BYTES):
        hasher.update(piece)
        if member.size <= MAX_DOCUMENT_BYTES and not member.name.endswith(".tar"):
            document += piece
    archive.digests[member.name] = f"sha256:{hasher.hexdigest()}"
    if document and document[:1] in b"{[":
        archive.documents[member.name] = bytes(document)


def _damage(image_id: str, archive: _Archive) -> str | None:
    """Compare what came with what the image's configuration says, and that with the image's own digest."""
    about: dict[str, Any] = json.loads(archive.documents["manifest.json"])[0]
    configuration = about["Config"]
    if not _is(archive.digest(configuration), image_id, configuration):
        return "its configuration is damaged"
    expected = json.loads(archive.documents[configuration])["rootfs"]["diff_ids"]
    if len(expected) != len(about["Layers"]):
        return f"{len(about['Layers'])} of its {len(expected)} layers are there"
    for number, (layer, digest) in enumerate(zip(about["Layers"], expected, strict=True), 1):
        if not _is(archive.digest(layer), digest, layer):
            return f"layer {number} of {len(expected)} is damaged"
    return None


def _is(digest: str, expected: str, name: str) -> bool:
    """Tell whether a file is what it has to be; one in a store by digest names its own, packed content."""
    in_store = name.startswith("blobs/sha256/") and f"sha256:{posixpath.basename(name)}"
    return digest in (expected, in_store)


@contextmanager
def _exported(engine: Engine, image_id: str) -> Iterator[IO[bytes]]:
    """Open an image as the stream the engine exports; an engine that cannot read it has found damage."""
    reading, writing = os.pipe()
    failures: list[ComponentError] = []

    def send() -> None:
        sender = engine.another(timeout=SILENCE_SECONDS)
        try:
            with open(writing, "wb", buffering=0) as pipe:
                sender.download(f"/images/{quote(image_id)}/get", lambda piece: _write_all(pipe, piece))
        except ComponentError as error:
            failures.append(error)
        except BrokenPipeError:
            pass  # the reader has seen enough
        finally:
            sender.close()

    thread = threading.Thread(target=send, name="image-export", daemon=True)
    thread.start()
    try:
        with open(reading, "rb") as stream:
            yield stream
    finally:
        thread.join()
        _judge(engine, failures)


def _write_all(pipe: Any, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[pipe.write(view) :]


def _judge(engine: Engine, failures: list[ComponentError]) -> None:
    """Tell an engine that is gone, or has no room, from one that answers and cannot read the image."""
    for failure in failures:
        if not isinstance(failure, EngineError):
            raise failure
        probe = engine.another()
        try:
            probe.info()
        finally:
            probe.close()
        raise _UnreadableError(str(failure)) from failure
