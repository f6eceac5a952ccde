"""`GET`: manifest, deployment documents and bundles, always the stored bytes (spec: sections 9 and 10)."""

from litestar import Response, route
from litestar.enums import HttpMethod

from edgewright.protocol.media_types import BUNDLE, BUNDLES_PATH, DEPLOYMENTS_PATH, MANIFEST, YAML
from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.device_api.access import standing_of
from edgewright.server.negotiation import accepts, matches_etag
from edgewright.server.problems import ProblemError
from edgewright.server.store import desired
from edgewright.server.tls import caller_of

_READ = [HttpMethod.GET, HttpMethod.HEAD]
# The manifest is looked up anew each time; what a digest names never changes (spec: DS-5, DG-6, DG-9).
_MANIFEST_CACHING = "private"
_DIGEST_CACHING = "private, max-age=31536000, immutable"


@route(DEPLOYMENTS_PATH, http_method=_READ, status_code=200)
async def get_manifest(request: ServerRequest) -> Response[bytes]:
    """Answer a poll: that nothing has changed, from memory, or the manifest, from the database."""
    etag = standing_of(request).etag
    headers = request.headers
    if not accepts(headers.get("accept"), MANIFEST):
        raise ProblemError(ProblemType.SERVER_CANNOT_GENERATE_RESPONSE, f"only {MANIFEST} can be served here")
    if matches_etag(headers.get("if-none-match"), etag):
        return _unchanged(etag, _MANIFEST_CACHING)
    async with context_of(request).database.reading() as connection:
        served = await desired.served(connection, caller_of(request.scope).client_id)
    assert served is not None  # noqa: S101 - who has a standing has a manifest
    return _content(request, served.body, served.etag, MANIFEST, _MANIFEST_CACHING)


@route(DEPLOYMENTS_PATH + "/{deployment_id:str}/{digest:str}", http_method=_READ, status_code=200)
async def get_document(request: ServerRequest, deployment_id: str, digest: str) -> Response[bytes]:
    """Serve one deployment document by its digest (spec: DS-21)."""
    async with context_of(request).database.reading() as connection:
        client_id = caller_of(request.scope).client_id
        body = await desired.document(connection, client_id, deployment_id, digest)
    if body is None:
        raise ProblemError(
            ProblemType.DEPLOYMENT_NOT_FOUND, f"no document of {deployment_id} has the digest {digest}"
        )
    return _content(request, body, digest, YAML, _DIGEST_CACHING)


@route(BUNDLES_PATH + "/{digest:str}", http_method=_READ, status_code=200)
async def get_bundle(request: ServerRequest, digest: str) -> Response[bytes]:
    """Serve a bundle by its digest (spec: DS-21)."""
    async with context_of(request).database.reading() as connection:
        body = await desired.bundle(connection, caller_of(request.scope).client_id, digest)
    if body is None:
        raise ProblemError(ProblemType.INVALID_BUNDLE, f"no bundle has the digest {digest}")
    return _content(request, body, digest, BUNDLE, _DIGEST_CACHING)


def _content(
    request: ServerRequest, body: bytes, digest: str, media_type: str, caching: str
) -> Response[bytes]:
    """Return the bytes with their strong ETag, or `304` if the caller has them (spec: DS-6, DG-5, DG-8)."""
    if matches_etag(request.headers.get("if-none-match"), digest):
        return _unchanged(digest, caching)
    headers = _headers(digest, caching)
    return Response(content=body, status_code=200, media_type=media_type, headers=headers)


def _unchanged(digest: str, caching: str) -> Response[bytes]:
    return Response(content=b"", status_code=304, headers=_headers(digest, caching))


def _headers(digest: str, caching: str) -> dict[str, str]:
    return {"etag": f'"{digest}"', "cache-control": caching}
