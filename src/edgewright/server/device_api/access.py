"""Who may ask: every single request is held against the accepted-client policy (spec: ID-20, ID-22,
API-10).
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.problems import ProblemError
from edgewright.server.store import clients
from edgewright.server.store.clients import ClientState
from edgewright.server.tls import Caller, caller_of


async def admitted(request: ServerRequest, connection: AsyncConnection) -> str:
    """Return the client id of an accepted caller; raises a `403` for every other."""
    caller = caller_of(request.scope)
    client = await clients.get(connection, caller.client_id)
    if client is None:
        raise _not_accepted(caller)
    check_admission(caller, client.state, client.key_digest)
    context_of(request).heard_of(caller.client_id)
    return caller.client_id


def check_admission(caller: Caller, state: ClientState, key_digest: str | None) -> None:
    """Raise a `403` unless `caller` is accepted, with the key it was accepted with if there is one."""
    if state != ClientState.ACCEPTED:
        raise ProblemError(
            ProblemType.NOT_AUTHORIZED,
            f"client '{caller.client_id}' was retired here",
            title="Client Relationship Retired",
        )
    if key_digest is not None and key_digest != caller.key_digest:
        raise ProblemError(
            ProblemType.NOT_AUTHORIZED, f"client '{caller.client_id}' has enrolled anew with another key"
        )


def _not_accepted(caller: Caller) -> ProblemError:
    return ProblemError(
        ProblemType.NOT_AUTHORIZED, f"client '{caller.client_id}' is not accepted by this fleet manager"
    )


def unknown_client(request: ServerRequest) -> ProblemError:
    """Return the `403` for a caller whose SVID is valid and who was never accepted."""
    return _not_accepted(caller_of(request.scope))
