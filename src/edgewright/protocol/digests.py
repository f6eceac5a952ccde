"""Digests over exact bytes: never over a re-serialisation (spec: DG-1 to DG-4).

Standard library only: the watch imports this module.
"""

import hashlib

from edgewright.protocol.errors import DigestError, DigestMismatchError

_PREFIX = "sha256:"
_HEX = frozenset("0123456789abcdef")


def digest_of(data: bytes) -> str:
    """Return `sha256:` and 64 lower-case hex digits over `data`, the text of JSON, URLs and ETags."""
    return _PREFIX + hashlib.sha256(data).hexdigest()


def check_digest(text: str) -> str:
    """Return `text` when it is a digest this implementation can verify; raise DigestError otherwise."""
    if not text.startswith(_PREFIX):
        raise DigestError(f"digest {text[:80]!r}: only sha256 digests, written 'sha256:…', can be verified")
    encoded = text[len(_PREFIX) :]
    if len(encoded) != 64 or not _HEX.issuperset(encoded):
        raise DigestError(f"digest {text[:80]!r}: expected 64 lower-case hex digits after 'sha256:'")
    return text


def verify_digest(data: bytes, expected: str, *, location: str) -> None:
    """Raise DigestMismatchError unless `data`, got from `location`, has the digest `expected`."""
    check = DigestCheck(expected, location)
    check.update(data)
    check.finish()


class DigestCheck:
    """Verifies bytes that arrive piece by piece; nothing may be used before `finish` returned."""

    __slots__ = ("_hash", "expected", "location")

    def __init__(self, expected: str, location: str) -> None:
        self.expected = check_digest(expected)
        self.location = location
        self._hash = hashlib.sha256()

    def update(self, data: bytes) -> None:
        """Add the next piece."""
        self._hash.update(data)

    def finish(self) -> None:
        """Raise DigestMismatchError unless all pieces together have the expected digest."""
        actual = _PREFIX + self._hash.hexdigest()
        if actual != self.expected:
            raise DigestMismatchError(self.location, expected=self.expected, actual=actual)
