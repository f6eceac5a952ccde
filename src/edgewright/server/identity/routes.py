"""Trust material and enrolment, for callers who have no identity yet (spec: TB-1 to TB-9;
docs/decisions/0005).
"""

from litestar import Response, post, route
from litestar.enums import HttpMethod

from edgewright.protocol.digests import digest_of
from edgewright.protocol.enrollment import EnrollmentAnswer, EnrollmentRequest
from edgewright.protocol.media_types import DISCOVERY_PATH, ENROLL_PATH, JSON, TRUST_BUNDLE_PATH
from edgewright.protocol.trust import DiscoveryDocument, TrustBundle
from edgewright.server.bodies import read_body
from edgewright.server.context import ServerContext, ServerRequest, context_of
from edgewright.server.fleet import membership
from edgewright.server.negotiation import matches_etag

# How often devices are to look for other anchors. Anchors change by hand and overlap for weeks (spec: LC-8).
REFRESH_HINT_SECONDS = 3600
MAX_REQUEST_BYTES = 64 * 1024
_READ = [HttpMethod.GET, HttpMethod.HEAD]


@route(DISCOVERY_PATH, http_method=_READ, status_code=200, include_in_schema=False, public=True)
async def get_discovery(request: ServerRequest) -> Response[bytes]:
    """Say where the trust bundle is (spec: TB-2, TB-4)."""
    context = context_of(request)
    document = DiscoveryDocument(
        trust_domain=context.settings.trust_domain, trust_bundle_uri=f"{context.web_url}{TRUST_BUNDLE_PATH}"
    )
    return _public(request, document.render())


@route(TRUST_BUNDLE_PATH, http_method=_READ, status_code=200, include_in_schema=False, public=True)
async def get_trust_bundle(request: ServerRequest) -> Response[bytes]:
    """Serve the trust domain's anchors (spec: TB-8, TB-9)."""
    return _public(request, _trust_bundle(context_of(request)))


@post(ENROLL_PATH, status_code=201, include_in_schema=False, public=True)
async def post_enroll(request: ServerRequest) -> Response[bytes]:
    """Turn a one-time token and a certificate request into an identity."""
    context = context_of(request)
    body = await read_body(request, limit=MAX_REQUEST_BYTES)
    asked = EnrollmentRequest.parse(body, source="enrolment request")
    async with context.database.reading() as connection:
        await membership.check_bearer(connection, secret=asked.token, csr=asked.csr, now=context.clock())
    async with context.database.writing() as connection:
        client_id, svid = await membership.enroll(
            connection,
            secret=asked.token,
            csr=asked.csr,
            settings=context.settings,
            authority=context.identity.authority,
            now=context.clock(),
        )
    answer = EnrollmentAnswer(
        client_id=client_id,
        svid=svid,
        trust_bundle=_trust_bundle(context).decode("utf-8"),
        server_url=context.device_url,
    )
    headers = {"cache-control": "no-store"}
    return Response(content=answer.render(), status_code=201, media_type=JSON, headers=headers)


def _trust_bundle(context: ServerContext) -> bytes:
    return TrustBundle.from_anchors_der(
        context.identity.anchors, sequence=context.identity.sequence, refresh_hint=REFRESH_HINT_SECONDS
    ).render()


def _public(request: ServerRequest, body: bytes) -> Response[bytes]:
    etag = digest_of(body)
    headers = {"etag": f'"{etag}"', "cache-control": "no-cache"}
    if matches_etag(request.headers.get("if-none-match"), etag):
        return Response(content=b"", status_code=304, headers=headers)
    return Response(content=body, status_code=200, media_type=JSON, headers=headers)
