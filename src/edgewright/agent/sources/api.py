"""Desired state from the device API: the manifest by polling, documents and bundles by digest (spec: 9, 10).

Bytes are returned exactly as they came, after undoing a content coding (spec: DG-3). What they mean is
judged by `accept.py`.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import time

from edgewright.agent.answers import RefusalError
from edgewright.agent.session import Session
from edgewright.net.http import Response
from edgewright.protocol import media_types
from edgewright.protocol.digests import digest_of, verify_digest
from edgewright.protocol.errors import EdgewrightError

MANIFEST_LIMIT = 4 * 1024 * 1024
DOCUMENT_LIMIT = 1024 * 1024
BUNDLE_LIMIT = 16 * 1024 * 1024


class TooLargeError(EdgewrightError):
    """The fleet manager serves more bytes than a device is willing to hold."""

    code = "source.too-large"


class Received:
    """A manifest as served: the exact bytes, their digest, and the entity tag to ask with next time."""

    __slots__ = ("body", "digest", "etag")

    def __init__(self, etag: str, body: bytes) -> None:
        self.etag = etag
        self.body = body
        self.digest = digest_of(body)


def poll(session: Session, etag: str) -> Received | None:
    """Return the manifest, or None when it is still the one `etag` stands for (spec: DS-2, DS-3, DS-6).

    `etag` is empty when there is none to compare with. Raises `RefusalError` and what the session raises.
    """
    headers = [("accept", media_types.MANIFEST)]
    if etag:
        headers.append(("if-none-match", etag))
    path = media_types.DEPLOYMENTS_PATH
    response = session.request("GET", path, headers=headers)
    if response.status == 304 and etag:
        return None
    return Received(response.headers.get("etag", ""), _body(response, path, MANIFEST_LIMIT))


def fetch_document(session: Session, url: str, digest: str) -> bytes:
    """Return one deployment document whose bytes have `digest`; `url` is the manifest's (DS-13, API-13)."""
    response = session.request("GET", url, headers=[("accept", media_types.YAML)])
    data = _body(response, url, DOCUMENT_LIMIT)
    verify_digest(data, digest, location=url)
    return data


def fetch_bundle(session: Session, url: str, digest: str) -> bytes:
    """Return the bundle whose bytes have `digest`, still packed; `url` is the manifest's (spec: DS-13)."""
    response = session.request("GET", url, headers=[("accept", media_types.BUNDLE)])
    data = _body(response, url, BUNDLE_LIMIT)
    verify_digest(data, digest, location=url)
    return data


def _body(response: Response, path: str, limit: int) -> bytes:
    if response.status != 200:
        raise RefusalError(response, path, time.time())
    if len(response.body) > limit:
        raise TooLargeError(f"{path}: {len(response.body)} bytes, at most {limit} are accepted")
    return response.body
