"""Who may operate: the bearer of a token this server made, checked before anything else happens."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler
from sqlalchemy import select

from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerContext, ServerRequest
from edgewright.server.domain.roles import Actor, Role
from edgewright.server.fleet.membership import secret_digest
from edgewright.server.problems import ProblemError
from edgewright.server.store.tables import operator_tokens

_CHALLENGE = {"www-authenticate": 'Bearer realm="edgewright operator API"'}


async def require_operator(
    connection: ASGIConnection[Any, Any, Any, State], _handler: BaseRouteHandler
) -> None:
    """Let the request pass with a known token and remember whose it is; raises a `401` otherwise."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise ProblemError(ProblemType.BLANK, "a bearer token is needed", status=401, headers=_CHALLENGE)
    context: ServerContext = connection.app.state.context
    async with context.database.reading() as database:
        name = await database.scalar(
            select(operator_tokens.c.name).where(
                operator_tokens.c.token_digest == secret_digest(token.strip())
            )
        )
    if name is None:
        raise ProblemError(ProblemType.BLANK, "this token is not known here", status=401, headers=_CHALLENGE)
    connection.scope["actor"] = Actor(name=f"operator {name}", role=Role.ADMIN)  # type: ignore[typeddict-unknown-key]


def actor_of(request: ServerRequest) -> Actor:
    """Return who makes the request."""
    actor: Actor = request.scope["actor"]  # type: ignore[typeddict-item]
    return actor


def operator_of(request: ServerRequest) -> str:
    """Return under which name whoever makes the request is in the audit."""
    return actor_of(request).name
