"""Desired state from the device API: the manifest by polling, documents and bundles by digest (spec: 9, 10).

Bytes are returned exactly as they came, after undoing a content coding (spec: DG-3). What they mean is
judged by `accept.py`.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import time

from edgewright.agent.talk.answers import RefusalError
from edgewright.agent.talk.session import Session
from edgewright.net.http import Response
from edgewright.protocol import media_types
from edgewright.protocol.digests import digest_of, verify_digest
from edgewright.protocol.errors import EdgewrightError

MANIFEST_LIMIT = 4 * 1024 * 1024
DOCUMENT_LIMIT = 1024 * 1024
BUNDLE_LIMIT = 16 * 1024 * 1024
POLICY_LIMIT = 64 * 1024
POLICY_HEADER = "edgewright-policy"
"""With every answer to a poll from a fleet manager of ours: the tag of the policy it suggests, or `none`."""


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


class Answer:
    """What a poll was answered with: `manifest` is None when it is the one that was asked with.

    `held`: the fleet manager would have held the answer back, or has. `policy` is the tag of the policy it
    suggests, empty for a fleet manager that knows nothing of such.
    """

    __slots__ = ("held", "manifest", "policy")

    def __init__(self, response: Response, etag: str) -> None:
        self.held = "wait" in response.headers.get("preference-applied", "").lower()
        self.policy = response.headers.get(POLICY_HEADER, "").strip()[:64]
        self.manifest: Received | None = None
        if response.status != 304 or not etag:
            body = _body(response, media_types.DEPLOYMENTS_PATH, MANIFEST_LIMIT)
            self.manifest = Received(response.headers.get("etag", ""), body)


def poll(session: Session, etag: str) -> Answer:
    """Ask for the manifest; `etag` stands for the one that is here, empty for none (spec: DS-2, DS-3, DS-6).

    Raises `RefusalError` and what the session raises.
    """
    path = media_types.DEPLOYMENTS_PATH
    return Answer(session.request("GET", path, headers=_conditions(etag)), etag)


def begin_poll(session: Session, etag: str, seconds: int) -> None:
    """Ask for the manifest and let the answer be held back until there is another one (RFC 7240, `wait`)."""
    headers = [*_conditions(etag), ("prefer", f"wait={seconds}")]
    session.hold(media_types.DEPLOYMENTS_PATH, headers=headers, seconds=seconds)


def end_poll(session: Session, etag: str) -> Answer | None:
    """Return the answer to the poll that was begun, None while it is held back; raises as `poll` does."""
    response = session.answer()
    return None if response is None else Answer(response, etag)


def _conditions(etag: str) -> list[tuple[str, str]]:
    accept = [("accept", media_types.MANIFEST)]
    return [*accept, ("if-none-match", etag)] if etag else accept


def fetch_policy(session: Session) -> str:
    """Return the text of the policy the fleet manager suggests, empty when it suggests none."""
    path = media_types.POLICY_PATH
    response = session.request("GET", path, headers=[("accept", media_types.YAML)])
    if response.status in (204, 404):
        return ""
    return _body(response, path, POLICY_LIMIT).decode("utf-8", "replace")


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
