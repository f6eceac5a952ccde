"""Who makes a request, for handlers: the guard has let it in and left it in the scope (`listeners/`)."""

from edgewright.server.context import ServerRequest
from edgewright.server.domain.roles import Actor


def actor_of(request: ServerRequest) -> Actor:
    """Return who makes the request."""
    actor: Actor = request.scope["actor"]  # type: ignore[typeddict-item]
    return actor


def operator_of(request: ServerRequest) -> str:
    """Return under which name whoever makes the request is in the audit."""
    return actor_of(request).name
