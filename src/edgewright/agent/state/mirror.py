"""A copy of the accepted manifest beside the database, for the day the database is damaged or gone.

One file, so that its version and its bytes are always those of one manifest: a line of JSON that says what it
is, with a hash of its own, then the exact bytes. What a damaged copy still tells is used: a version without
the bytes is enough to accept nothing older (spec: DS-12).

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import json
import os

from edgewright.agent.state.durable import write_whole
from edgewright.protocol.digests import digest_of

_FIELDS = ("relation", "etag", "digest", "version")


class MirrorError(Exception):
    """The copy is there and tells nothing that can be believed."""


class Mirrored:
    """The copy: what the columns of the database hold; `body` is empty where its bytes are damaged.

    `version` is text, None after a person let the next manifest in whatever its version.
    """

    __slots__ = ("body", "digest", "etag", "relation", "version")

    def __init__(self, relation: str, etag: str, digest: str, version: str | None, body: bytes) -> None:
        self.relation = relation
        self.etag = etag
        self.digest = digest
        self.version = version
        self.body = body


def path_beside(database: str) -> str:
    """Return where the copy for a database is kept."""
    return os.path.join(os.path.dirname(database), "accepted")


def save(path: str, copy: Mirrored) -> None:
    """Write the copy in one durable step."""
    about = {name: getattr(copy, name) for name in _FIELDS}
    head = json.dumps({**about, "check": _check(about)}).encode()
    write_whole(path, head + b"\n" + copy.body)


def load(path: str) -> Mirrored | None:
    """Return the copy, None where there is none; raise MirrorError where its first line is damaged."""
    try:
        with open(path, "rb") as file:
            head, _, body = file.read().partition(b"\n")
    except FileNotFoundError:
        return None
    try:
        about = json.loads(head)
        check = about.pop("check")
        if check != _check(about):
            raise MirrorError(f"{path}: damaged")
        copy = Mirrored(**about, body=body)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MirrorError(f"{path}: damaged") from error
    if digest_of(copy.body) != copy.digest:
        copy.body = b""
    return copy


def _check(about: dict[str, str | None]) -> str:
    return digest_of(json.dumps(about, sort_keys=True).encode())
