"""What is in a commit of either branch, and whether it may be there (spec: Names and limits, GR-11 to GR-15).

One faulty entry anywhere makes the whole commit unacceptable, whether it is needed or not.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from edgewright.net.git.program import Entry, Git, GitError
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.manifest import StateManifest
from edgewright.protocol.repository import (
    DOCUMENT_BYTES,
    MANIFEST,
    MANIFEST_BYTES,
    MOST_ENTRIES,
    POLICY,
    POLICY_BYTES,
    SIGNERS,
    SIGNERS_BYTES,
    SITE,
    SITE_BYTES,
    deployment_file,
    is_safe_name,
)

DEEPEST = 4
_AT_ONCE_BYTES = 16 * 1024 * 1024
_PLAIN_MODES = ("100644", "100755")
_DESIRED_LIMITS = {MANIFEST: MANIFEST_BYTES, POLICY: POLICY_BYTES, SIGNERS: SIGNERS_BYTES}
_CURRENT_LIMITS = {SITE: SITE_BYTES}
_KEY = re.compile(r"(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+")


class RefusedError(GitError):
    """A head of `desired` is not taken up; the message says why, for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="git.refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What a commit of `desired` says; `policy` is empty where it suggests none."""

    body: bytes
    manifest: StateManifest
    policy: str
    policy_id: str


def read_desired(git: Git, commit: str) -> Desired:
    """Return what `commit` says, all of it checked; raise RefusedError for what must not be taken up."""
    entries = read_entries(git, commit, _DESIRED_LIMITS)
    body = _read(git, entries, MANIFEST)
    if body is None:
        raise RefusedError(f"there is no {MANIFEST}")
    try:
        manifest = StateManifest.parse(body, source=MANIFEST)
    except DocumentError as error:
        raise RefusedError(str(error)) from error
    _check_documents(git, entries, manifest)
    policy = _read(git, entries, POLICY)
    return Desired(
        body=body,
        manifest=manifest,
        policy="" if policy is None else policy.decode("utf-8", "replace"),
        policy_id="" if policy is None else entries[POLICY].id,
    )


def read_current(git: Git, commit: str) -> Mapping[str, Entry] | None:
    """Return what is in a commit of `current`, None when nothing should be built on what is in there."""
    try:
        return read_entries(git, commit, _CURRENT_LIMITS)
    except RefusedError:
        return None


def read_entries(git: Git, commit: str, limits: Mapping[str, int]) -> Mapping[str, Entry]:
    """Return what is in the tree of `commit` by path; raise RefusedError unless all of it may be there."""
    try:
        entries = git.read_tree(commit, most=MOST_ENTRIES, depth=DEEPEST)
    except GitError as error:
        if error.code in ("git.refused", "git.too-large"):
            raise RefusedError(str(error)) from error
        raise
    check_entries(entries, limits)
    return entries


def check_entries(entries: Mapping[str, Entry], limits: Mapping[str, int]) -> None:
    """Raise RefusedError for the first entry that may not be there; `limits` are in bytes, by path."""
    folded: dict[str, str] = {}
    for path, each in entries.items():
        if each.kind == "commit":
            raise RefusedError(f"{_told(path)}: it is a submodule")
        if each.mode == "120000":
            raise RefusedError(f"{_told(path)}: it is a symbolic link")
        if each.kind == "blob" and each.mode not in _PLAIN_MODES:
            raise RefusedError(
                f"{_told(path)}: its mode is {each.mode}, expected {' or '.join(_PLAIN_MODES)}"
            )
        if not is_safe_name(path.rpartition("/")[2]):
            raise RefusedError(f"{_told(path)}: files and folders may not be named like that")
        other = folded.setdefault(path.lower(), path)
        if other != path:
            raise RefusedError(f"{_told(path)}: it differs from {_told(other)} in case alone")
        limit = limits.get(path, DOCUMENT_BYTES)
        if each.kind == "blob" and each.size > limit:
            raise RefusedError(f"{_told(path)}: {each.size} bytes, at most {limit} are accepted")


def check_signers(data: bytes) -> str:
    """Return the text of a file of signers that names somebody; raise RefusedError for another one.

    What ssh-keygen would not read is no rotation but a way to trust nobody ever again.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError(f"{SIGNERS}: it is not UTF-8 text") from None
    for line in text.splitlines():
        words = line.split()
        if not line.startswith("#") and any(_is_key(kind, key) for kind, key in pairwise(words[1:])):
            return text
    raise RefusedError(f"{SIGNERS}: it names nobody; expected lines of principal, key type and key")


def _is_key(kind: str, key: str) -> bool:
    if _KEY.fullmatch(kind) is None:
        return False
    try:
        data = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return False
    length = int.from_bytes(data[:4], "big")
    return data[4 : 4 + length] == kind.encode("ascii")


def _check_documents(git: Git, entries: Mapping[str, Entry], manifest: StateManifest) -> None:
    """Raise RefusedError unless every document is there with the digest that the manifest names."""
    batch: dict[str, list[tuple[str, str]]] = {}
    size = 0
    for each in manifest.deployments:
        path = deployment_file(each.deployment_id)
        entry = entries.get(path)
        if entry is None or entry.kind != "blob":
            raise RefusedError(f"{_told(path)} is not there, which the manifest lists")
        batch.setdefault(entry.id, []).append((path, each.digest))
        size += entry.size
        if size > _AT_ONCE_BYTES:
            _check_batch(git, batch)
            batch, size = {}, 0
    _check_batch(git, batch)


def _check_batch(git: Git, batch: Mapping[str, list[tuple[str, str]]]) -> None:
    found = git.read_objects(batch, limit=DOCUMENT_BYTES, kind="blob")
    for blob, documents in batch.items():
        if blob not in found:
            raise GitError(f"{documents[0][0]}: its content is not here", code="git.missing")
        actual = digest_of(found[blob])
        for path, expected in documents:
            if actual != expected:
                raise RefusedError(f"{path}: expected {expected}, got {actual}")


def _read(git: Git, entries: Mapping[str, Entry], path: str) -> bytes | None:
    entry = entries.get(path)
    if entry is None or entry.kind != "blob":
        return None
    found = git.read_objects([entry.id], limit=MANIFEST_BYTES, kind="blob")
    if entry.id not in found:
        raise GitError(f"{path}: its content is not here", code="git.missing")
    return found[entry.id]


def _told(path: str) -> str:
    """Return `path` for people: what cannot be printed as what it is."""
    return (
        path.encode("ascii", "backslashreplace").decode("ascii")[:200]
        if path.isprintable()
        else ascii(path)[:200]
    )
