"""Where the caller's Git repository is, for clients that move to it from this API or are to know both."""

import msgspec
from litestar import Response, get

from edgewright.protocol.media_types import JSON, REPOSITORY_PATH
from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.identity import authority as ca
from edgewright.server.listeners.tls import caller_of
from edgewright.server.problems import ProblemError
from edgewright.server.repositories.places import NO_LISTENER, url_of
from edgewright.server.repositories.signing import SigningKeys
from edgewright.server.store import repositories
from edgewright.server.store.repositories import Kind


@get(REPOSITORY_PATH, status_code=200)
async def get_repository(request: ServerRequest) -> Response[bytes]:
    """Say where the caller's repository is, who signs what is in it, and whose certificates its server has.

    `ca` is PEM, null where the usual authorities do. `404` when the caller has no repository, or none that
    can be reached.
    """
    context = context_of(request)
    async with context.database.reading() as connection:
        found = await repositories.get(connection, caller_of(request.scope).client_id)
    if found is None:
        raise ProblemError(ProblemType.BLANK, "this client has no Git repository", status=404)
    url = url_of(found, context.git_url)
    if url is None:
        raise ProblemError(ProblemType.BLANK, NO_LISTENER, status=404)
    is_hosted = found.kind == Kind.HOSTED
    keys = SigningKeys(context.identity.folder, context.principal)
    told = {
        "kind": found.kind,
        "url": url,
        "signers": keys.signers.decode("utf-8"),
        "ca": ca.certificate_pem(context.identity.web_authority.certificate) if is_hosted else None,
    }
    body = msgspec.json.encode(told)
    return Response(content=body, status_code=200, media_type=JSON, headers={"cache-control": "no-store"})
