"""Taking in what people committed by hand, as changes of theirs (rules: `domain/hand_made.py`)."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.errors import EdgewrightError
from edgewright.server.domain.hand_made import Accepted, Commit, Refused, Verdict
from edgewright.server.errors import ConflictError, NotFoundError
from edgewright.server.fleet import deploying, suggestions
from edgewright.server.store import audit
from edgewright.server.store import suggestions as kept
from edgewright.server.store.database import EVERYBODY, announce


async def take_in(
    connection: AsyncConnection, client_id: str, commit: Commit, accepted: Accepted, *, now: datetime
) -> None:
    """Make the changes that a commit asks for, all of them or none: the caller's transaction decides.

    Raises the errors of `deploying.change` and `suggestions.suggest`, whose messages are for its author.
    """
    if accepted.policy:
        await _take_policy(connection, client_id, accepted.policy[0], actor=commit.author, now=now)
    for deployment_id, values in accepted.parameters.items():
        known = await deploying.deployment_called(connection, deployment_id)
        if known.client_id != client_id:
            raise NotFoundError(f"no deployment {deployment_id} is on this device")
        await deploying.change(
            connection,
            deployment_id,
            deploying.Change(parameters=values),
            actor=commit.author,
            now=now,
            reason=f"commit {commit.id[:12]}",
        )
    await audit.note(
        connection,
        now=now,
        actor=commit.author,
        action="take in commit",
        subject=client_id,
        commit=commit.id,
        what=accepted.in_words(),
    )


async def settle(
    connection: AsyncConnection, client_id: str, commit: Commit, verdict: Verdict, *, now: datetime
) -> Verdict:
    """Take in what was found fine so far; return what became of it, refused where the fleet does not have it.

    What is refused leaves nothing in the caller's transaction.
    """
    if isinstance(verdict, Refused):
        return verdict
    try:
        async with connection.begin_nested():
            await take_in(connection, client_id, commit, verdict, now=now)
    except EdgewrightError as error:
        return Refused(reasons=(str(error),))
    return verdict


async def note_refused(
    connection: AsyncConnection, client_id: str, commit: Commit, reason: str, *, now: datetime
) -> None:
    """Write down that a commit was refused, and why."""
    announce(connection, f"device:{client_id}")
    await audit.note(
        connection,
        now=now,
        actor=commit.author,
        action="refuse commit",
        subject=client_id,
        commit=commit.id,
        reason=reason,
    )


async def _take_policy(
    connection: AsyncConnection, client_id: str, body: bytes | None, *, actor: str, now: datetime
) -> None:
    if body is not None:
        await suggestions.suggest(connection, client_id, body, actor=actor, now=now)
    elif await kept.get(connection, client_id) is not None:
        await suggestions.withdraw(connection, client_id, actor=actor, now=now)
    elif await kept.get(connection, EVERYBODY) is not None:
        raise ConflictError(
            "policy.yaml is suggested to all devices and cannot be removed for one of them; change it to what"
            " is to hold for this device, or withdraw it in the fleet manager"
        )
