"""`GET`: manifest, deployment documents and bundles, always the stored bytes (spec: sections 9 and 10)."""

from litestar import Response, route
from litestar.enums import HttpMethod

from edgewright.protocol.media_types import BUNDLE, BUNDLES_PATH, DEPLOYMENTS_PATH, MANIFEST, YAML
from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.device_api.access import standing_of
from edgewright.server.device_api.polls import OFFER, manifest_headers
from edgewright.server.listeners.negotiation import accepts, matches_etag
from edgewright.server.listeners.tls import caller_of
from edgewright.server.problems import ProblemError
from edgewright.server.store import desired

_READ = [HttpMethod.GET, HttpMethod.HEAD]
# What a digest names never changes (spec: DS-5, DG-6, DG-9).
_DIGEST_CACHING = "private, max-age=31536000, immutable"


@route(DEPLOYMENTS_PATH, http_method=_READ, status_code=200)
async def get_manifest(request: ServerRequest) -> Response[bytes]:
    """Answer a poll that may have news (see `polls`) with the manifest as it was published."""
    headers = request.headers
    if not accepts(headers.get("accept"), MANIFEST):
        raise ProblemError(ProblemType.SERVER_CANNOT_GENERATE_RESPONSE, f"only {MANIFEST} can be served here")
    async with context_of(request).database.reading() as connection:
        served = await desired.served(connection, caller_of(request.scope).client_id)
    assert served is not None  # noqa: S101 - who has a standing has a manifest
    offer = request.scope["state"].get(OFFER, 0)
    return _content(
        request, served.body, MANIFEST, manifest_headers(served.etag, standing_of(request), offer)
    )


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
    return _content(request, body, YAML, _digest_headers(digest))


@route(BUNDLES_PATH + "/{digest:str}", http_method=_READ, status_code=200)
async def get_bundle(request: ServerRequest, digest: str) -> Response[bytes]:
    """Serve a bundle by its digest (spec: DS-21)."""
    async with context_of(request).database.reading() as connection:
        body = await desired.bundle(connection, caller_of(request.scope).client_id, digest)
    if body is None:
        raise ProblemError(ProblemType.INVALID_BUNDLE, f"no bundle has the digest {digest}")
    return _content(request, body, BUNDLE, _digest_headers(digest))


def _content(
    request: ServerRequest, body: bytes, media_type: str, headers: dict[str, str]
) -> Response[bytes]:
    """Return the bytes with their strong ETag, or `304` if the caller has them (spec: DS-6, DG-5, DG-8)."""
    if matches_etag(request.headers.get("if-none-match"), headers["etag"].strip('"')):
        return Response(content=b"", status_code=304, headers=headers)
    return Response(content=body, status_code=200, media_type=media_type, headers=headers)


def _digest_headers(digest: str) -> dict[str, str]:
    return {"etag": f'"{digest}"', "cache-control": _DIGEST_CACHING}
