"""Who may ask: every single request is held against the accepted-client policy (spec: ID-20, ID-22).

The gate stands before everything else, so that a client that is not accepted learns nothing, not even which
paths there are. What writes asks once more inside its transaction, as its body may have taken a while.
"""

from typing import Any, TypeVar

from litestar.types import ASGIApp
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerContext, ServerRequest
from edgewright.server.listeners.tls import Caller, caller_of
from edgewright.server.live.standings import Standing
from edgewright.server.problems import ProblemError, answer_to
from edgewright.server.store import clients
from edgewright.server.store.audit import MEANS, Means
from edgewright.server.store.clients import Client, ClientState

STANDING = "edgewright.standing"
Known = TypeVar("Known", Standing, Client)


class Gate:
    """Lets requests of accepted clients through to `app`, with their standing; all others get a `403`."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        standing = await admit(self._context, scope, send)
        if standing is not None:
            self._context.heard_of(caller_of(scope).client_id)
            scope["state"][STANDING] = standing
            MEANS.set(Means(via="device certificate", address=(scope.get("client") or ("",))[0]))
            await self._app(scope, receive, send)


async def admit(context: ServerContext, scope: Any, send: Any) -> Standing | None:
    """Return the standing of who asks; if it may not, answer and return None.

    Gives way to others only while it reads; what it returns is the latest when it returns.
    """
    caller = caller_of(scope)
    try:
        return check_admission(caller, await context.standings.of(caller.client_id))
    except Exception as error:
        await answer_to(error, method=scope["method"], path=scope["path"]).send(send)
        return None


def standing_of(request: ServerRequest) -> Standing:
    """Return the standing with which this request was let in."""
    standing: Standing = request.scope["state"][STANDING]
    return standing


async def still_admitted(request: ServerRequest, connection: AsyncConnection) -> str:
    """Return the client id of the caller, if it is accepted in this transaction as well."""
    caller = caller_of(request.scope)
    client = await clients.get(connection, caller.client_id)
    check_admission(caller, client)
    return caller.client_id


def check_admission(caller: Caller, known: Known | None) -> Known:
    """Return `known` if it is an accepted client that comes with the key it was accepted with, if any.

    Raises a `403` that says which of these it is not (spec: API-10, API-11, ID-23).
    """
    known = check_accepted(caller.client_id, known)
    if known.key_digest not in {None, caller.key_digest}:
        raise _refusal(f"client '{caller.client_id}' has enrolled anew with another key")
    return known


def check_accepted(client_id: str, known: Known | None) -> Known:
    """Return `known` if it is an accepted client, whatever it shows; raises a `403` otherwise."""
    if known is None:
        raise _refusal(f"client '{client_id}' is not accepted by this fleet manager")
    if known.state != ClientState.ACCEPTED:
        raise _refusal(f"client '{client_id}' was retired here", title="Client Relationship Retired")
    return known


def _refusal(detail: str, *, title: str | None = None) -> ProblemError:
    return ProblemError(ProblemType.NOT_AUTHORIZED, detail, title=title)
