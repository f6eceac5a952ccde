"""What the specification has no place for, for clients that know it: the suggested policy, the site's report.

No client is asked to know it: another vendor's never comes here, and is served like any other.
"""

from litestar import Response, put, route
from litestar.enums import HttpMethod

from edgewright.protocol.media_types import POLICY_PATH, SITE_PATH, YAML
from edgewright.protocol.problem import ProblemType
from edgewright.protocol.site import SiteReport
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.device_api.access import still_admitted
from edgewright.server.device_api.polls import POLICY_HEADER
from edgewright.server.fleet.sites import record_site
from edgewright.server.listeners.bodies import read_body
from edgewright.server.listeners.tls import caller_of
from edgewright.server.problems import ProblemError
from edgewright.server.store import suggestions

MAX_SITE_BYTES = 512 * 1024


@route(POLICY_PATH, http_method=[HttpMethod.GET, HttpMethod.HEAD], status_code=200)
async def get_policy(request: ServerRequest) -> Response[bytes]:
    """Serve the policy suggested to the caller, as its author wrote it; `404` when there is none."""
    async with context_of(request).database.reading() as connection:
        found = await suggestions.for_client(connection, caller_of(request.scope).client_id)
    if found is None:
        raise ProblemError(ProblemType.BLANK, "no policy is suggested to this client", status=404)
    headers = {"etag": f'"{found.tag}"', "cache-control": "private", POLICY_HEADER: found.tag}
    return Response(content=found.body, status_code=200, media_type=YAML, headers=headers)


@put(SITE_PATH, status_code=200)
async def put_site(request: ServerRequest) -> Response[bytes]:
    """Take what the caller's site reports of itself: `201` for the first, `200` after."""
    context = context_of(request)
    body = await read_body(request, limit=MAX_SITE_BYTES)
    report = SiteReport.parse(body, source="site report")
    async with context.database.writing() as connection:
        client_id = await still_admitted(request, connection)
        is_first = await record_site(connection, client_id, report, body, now=context.clock())
    return Response(content=b"", status_code=201 if is_first else 200)
