"""Who may ask: every single request is held against the accepted-client policy (spec: ID-20, ID-22).

The gate stands before everything else, so that a client that is not accepted learns nothing, not even which
paths there are. What writes asks once more inside its transaction, as its body may have taken a while.
"""

from typing import Any

from litestar.types import ASGIApp
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerContext, ServerRequest
from edgewright.server.problems import ProblemError, answer_to
from edgewright.server.standings import Standing
from edgewright.server.store import clients
from edgewright.server.store.clients import ClientState
from edgewright.server.tls import Caller, caller_of

_STANDING = "edgewright.standing"


class Gate:
    """Lets requests of accepted clients through to `app`, with their standing; all others get a `403`."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        caller = caller_of(scope)
        try:
            standing = await self._context.standings.of(caller.client_id)
            scope["state"][_STANDING] = check_admission(caller, standing)
        except Exception as error:
            await answer_to(error, method=scope["method"], path=scope["path"]).send(send)
            return
        self._context.heard_of(caller.client_id)
        await self._app(scope, receive, send)


def standing_of(request: ServerRequest) -> Standing:
    """Return the standing with which this request was let in."""
    standing: Standing = request.scope["state"][_STANDING]
    return standing


async def still_admitted(request: ServerRequest, connection: AsyncConnection) -> str:
    """Return the client id of the caller, if it is accepted in this transaction as well."""
    caller = caller_of(request.scope)
    client = await clients.get(connection, caller.client_id)
    check_admission(caller, None if client is None else Standing(client.state, client.key_digest, etag=""))
    return caller.client_id


def check_admission(caller: Caller, standing: Standing | None) -> Standing:
    """Return `standing` if it is of an accepted client that comes with the key it was accepted with, if any.

    Raises a `403` that says which of these it is not (spec: API-10, API-11, ID-23).
    """
    if standing is None:
        raise _refusal(f"client '{caller.client_id}' is not accepted by this fleet manager")
    if standing.state != ClientState.ACCEPTED:
        raise _refusal(f"client '{caller.client_id}' was retired here", title="Client Relationship Retired")
    if standing.key_digest not in {None, caller.key_digest}:
        raise _refusal(f"client '{caller.client_id}' has enrolled anew with another key")
    return standing


def _refusal(detail: str, *, title: str | None = None) -> ProblemError:
    return ProblemError(ProblemType.NOT_AUTHORIZED, detail, title=title)
