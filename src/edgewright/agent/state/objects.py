"""Documents on disk by their digest: whole and right, or not there at all (spec: DS-13, DS-23)."""

import os
from collections.abc import Iterable

from edgewright.agent.state.durable import make_directory, write_whole
from edgewright.protocol.digests import check_digest, digest_of, verify_digest

_PREFIX = "sha256:"


class Objects:
    """Content-addressed files below one directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def load(self, digest: str) -> bytes | None:
        """Return the bytes of `digest`; None when they are not there or no longer what they were."""
        try:
            with open(self._file(digest), "rb") as file:
                data = file.read()
        except OSError:
            return None  # also a file the disk cannot read any more: what is lost is fetched again
        return data if digest_of(data) == digest else None

    def save(self, digest: str, data: bytes) -> None:
        """Store `data`, whose digest is checked, so that it survives a power cut from here on."""
        verify_digest(data, digest, location="object store")
        make_directory(self._directory)
        write_whole(self._file(digest), data)

    def keep(self, digests: Iterable[str]) -> None:
        """Delete everything but `digests`, also what a killed process left half-written."""
        kept = {digest.removeprefix(_PREFIX) for digest in digests}
        try:
            present = os.listdir(self._directory)
        except FileNotFoundError:
            return
        for name in present:
            if name not in kept:
                os.unlink(os.path.join(self._directory, name))

    def _file(self, digest: str) -> str:
        return os.path.join(self._directory, check_digest(digest).removeprefix(_PREFIX))
