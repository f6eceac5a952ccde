"""Trust material and enrolment, for callers who have no identity yet (spec: TB-1 to TB-9;
docs/decisions/0005, 0021).
"""

from litestar import Response, post, route
from litestar.enums import HttpMethod

from edgewright.protocol.digests import digest_of
from edgewright.protocol.enrollment import Admission, AdmissionRequest, EnrollmentAnswer, EnrollmentRequest
from edgewright.protocol.media_types import (
    ADMISSION_PATH,
    DISCOVERY_PATH,
    ENROLL_PATH,
    JSON,
    TRUST_BUNDLE_PATH,
)
from edgewright.protocol.problem import ProblemType
from edgewright.protocol.trust import DiscoveryDocument, TrustBundle
from edgewright.server.context import ServerContext, ServerRequest, context_of
from edgewright.server.domain.admission import RequestState, ask_again_after
from edgewright.server.fleet import admission, membership, repositories
from edgewright.server.listeners.bodies import read_body
from edgewright.server.listeners.guard import address_of
from edgewright.server.listeners.negotiation import matches_etag
from edgewright.server.problems import ProblemError

# How often devices are to look for other anchors. Anchors change by hand and overlap for weeks (spec: LC-8).
REFRESH_HINT_SECONDS = 3600
MAX_REQUEST_BYTES = 64 * 1024
MAX_ASKED_BYTES = 8 * 1024
# A full queue empties as people decide.
_FULL_SECONDS = 60
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
    by_git = asked.transport == "git" and context.git_url is not None
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
        if by_git:
            await repositories.host(connection, client_id, actor=client_id, now=context.clock())
    if by_git:
        await context.in_step(client_id)
    return _let_in(context, client_id, svid)


@post(ADMISSION_PATH, status_code=202, include_in_schema=False, public=True)
async def post_admission(request: ServerRequest) -> Response[bytes]:
    """Put a device without a token into the queue, or tell it what became of its request."""
    context = context_of(request)
    now, address = context.clock(), address_of(request)
    wait = context.asking.wait(address, now=now)
    if wait:
        raise _too_many(429, "this address asks too often", wait)
    body = await read_body(request, limit=MAX_ASKED_BYTES)
    entrant = admission.read(AdmissionRequest.parse(body, source="request to be let in"), address=address)
    async with context.database.reading() as connection:
        found = await admission.known(connection, entrant, now=now)
    if found is None:
        try:
            async with context.database.writing() as connection:
                found = await admission.ask(connection, entrant, now=now)
        except admission.QueueFullError as error:
            raise _too_many(503, str(error), _FULL_SECONDS) from error
    if found.client_id is not None and found.svid is not None:
        return _let_in(context, found.client_id, found.svid)
    headers = {"cache-control": "no-store"}
    if found.state == RequestState.REJECTED:
        told = Admission(state="rejected", reason=found.reason)
        return Response(content=told.render(), status_code=200, media_type=JSON, headers=headers)
    headers["retry-after"] = str(ask_again_after(now - found.created))
    told = Admission(state="waiting")
    return Response(content=told.render(), status_code=202, media_type=JSON, headers=headers)


def _let_in(context: ServerContext, client_id: str, svid: str) -> Response[bytes]:
    answer = EnrollmentAnswer(
        client_id=client_id,
        svid=svid,
        trust_bundle=_trust_bundle(context).decode("utf-8"),
        server_url=context.device_url,
    )
    headers = {"cache-control": "no-store"}
    return Response(content=answer.render(), status_code=201, media_type=JSON, headers=headers)


def _too_many(status: int, detail: str, seconds: int) -> ProblemError:
    return ProblemError(ProblemType.BLANK, detail, status=status, headers={"retry-after": str(seconds)})


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
